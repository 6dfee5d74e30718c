"""An independent oracle: it predicts the responses to random GraphQL documents, without any code of the service."""
