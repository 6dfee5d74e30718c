// Wait for a new upload with conditional requests.

export async function* uploadIds(service, milliseconds) {
  for (let etag = ""; ; await new Promise((resolve) => setTimeout(resolve, milliseconds))) {
    const response = await fetch(`${service}/graphql/?query={currentUpload{id}}`, { headers: { "If-None-Match": etag } });
    if (response.status !== 200) continue; // 304: no new upload
    etag = response.headers.get("ETag");
    yield (await response.json()).data.currentUpload?.id;
  }
}
