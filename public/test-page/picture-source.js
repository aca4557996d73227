/**
 * What the picture of a stream is made of: `app/key`, where the stream comes to this server, and what the server says of its
 * publisher. A WebSocket, because a browser opens only six HTTP connections to one server.
 */
export function pictureSourceOf(key, publisher) {
  if (key === undefined || publisher === undefined) return undefined;
  const url = new URL(`live/${key.split("/").map(encodeURIComponent).join("/")}.flv`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return {
    url: url.href,
    isOn: publisher.publishing,
    connects: publisher.connects,
    hasVideo: publisher.video !== undefined,
    hasAudio: publisher.audioCodec !== undefined,
  };
}
