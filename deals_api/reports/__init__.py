"""Read side: one function for each question that the APIs answer."""
