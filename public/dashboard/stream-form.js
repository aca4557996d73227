/**
 * Pure: what the form says, as the workload that the hub takes. What is empty is left out; a number that is none goes as it
 * was written, so that the hub says what is wrong with it.
 *
 * @param {FormData} form
 */
export function toWorkload(form) {
  const text = (name) => {
    const value = form.get(`workload.${name}`)?.trim();
    return value === "" ? undefined : value;
  };
  const number = (name) => {
    const value = text(name);
    return value === undefined || !Number.isFinite(Number(value)) ? value : Number(value);
  };
  const video = text("spec.video");
  return compact({
    kind: "stream",
    id: text("id") ?? "",
    name: text("name"),
    priority: number("priority"),
    resources: compact({ memory: text("resources.memory"), cpu: text("resources.cpu") }),
    pictureUrl: text("pictureUrl"),
    spec: compact({
      input: { url: text("spec.input.url") ?? "" },
      outputs: [
        compact({ url: text("spec.outputs[0].url") ?? "", needsAudio: form.has("needsAudio") ? true : undefined }),
      ],
      video:
        video === "encode"
          ? compact({
              encoder: text("spec.video.encoder") ?? "",
              preset: text("spec.video.preset"),
              size: text("spec.video.size"),
              fps: number("spec.video.fps"),
              bitrateKbit: number("spec.video.bitrateKbit"),
              gopFrames: number("spec.video.gopFrames"),
            })
          : video,
      audio: text("spec.audio"),
    }),
  });
}

/** Without what is undefined, and without empty objects. */
function compact(object) {
  return Object.fromEntries(
    Object.entries(object).filter(
      ([, value]) =>
        value !== undefined && !(typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0),
    ),
  );
}
