/**
 * Pure: what the form says, as the workload that the hub takes. What is empty is left out; a number that is none goes as it
 * was written, so that the hub says what is wrong with it. What `held` has beyond the form stays.
 *
 * @param {FormData} form `from[1]`: which output of `held` the second one was
 * @param {object} [held] the workload that is changed, as the hub shows it
 */
export function toWorkload(form, held) {
  const spec = held?.spec ?? {};
  const field = (name) => {
    const value = form.get(`workload.${name}`)?.trim();
    return value === "" ? undefined : value;
  };
  const number = (name) => {
    const value = field(name);
    return value === undefined || !Number.isFinite(Number(value)) ? value : Number(value);
  };
  const read = { field, number, isOn: (name) => (form.has(`workload.${name}`) ? true : undefined) };
  return compact({
    kind: "stream",
    id: held?.id ?? field("id") ?? "",
    name: field("name"),
    priority: number("priority"),
    resources: compact({ memory: field("resources.memory"), cpu: field("resources.cpu") }),
    pictureUrl: field("pictureUrl"),
    spec: compact({
      ...spec,
      input: { ...spec.input, url: field("spec.input.url") ?? "" },
      outputs: outputsOf(form, spec.outputs ?? [], read),
      video: encodingOf(VIDEO, spec.video, read),
      audio: encodingOf(AUDIO, spec.audio, read),
    }),
  });
}

const VIDEO = {
  name: "spec.video",
  texts: ["encoder", "preset", "size"],
  numbers: ["fps", "bitrateKbit", "gopFrames"],
};
const AUDIO = { name: "spec.audio", texts: ["encoder"], numbers: ["bitrateKbit", "sampleRateHz", "channels"] };

/** Pure: settings of a stream that the form does not show, by their paths. */
export function unshownOf({ spec }) {
  const shown =
    /^(?:input\.url|outputs\[\d+\]\.(?:url|needsAudio)|video(?:\.(?:encoder|preset|size|fps|bitrateKbit|gopFrames))?|audio(?:\.(?:encoder|bitrateKbit|sampleRateHz|channels))?)$/;
  return [...leavesOf(spec)].map(([path]) => path).filter((path) => !shown.test(path));
}

/** Pure: where two workloads differ, as people see them. */
export function differencesOf(before, after) {
  const [old, now] = [new Map(leavesOf(before)), new Map(leavesOf(after))];
  const paths = new Set([...old.keys(), ...now.keys()]);
  return [...paths]
    .filter((path) => old.get(path) !== now.get(path))
    .map((path) => ({ path, before: old.get(path), after: now.get(path) }));
}

function outputsOf(form, held, { field, isOn }) {
  const outputs = [];
  for (let index = 0; form.has(`workload.spec.outputs[${index}].url`); index++) {
    const place = `spec.outputs[${index}]`;
    const from = form.get(`from[${index}]`) ?? "";
    const url = field(`${place}.url`) ?? "";
    // The hub knows a masked secret by its place: at another one it would be another output's.
    if (url.includes("***") && from !== String(index)) {
      throw Object.assign(new Error("*** means the secret of another place here; give the address whole"), {
        field: `workload.${place}.url`,
      });
    }
    outputs.push(compact({ ...(from === "" ? {} : held[Number(from)]), url, needsAudio: isOn(`${place}.needsAudio`) }));
  }
  return outputs;
}

function encodingOf({ name, texts, numbers }, held, { field, number }) {
  const mode = field(name);
  if (mode !== "encode") return mode;
  const read = (names, get) => Object.fromEntries(names.map((one) => [one, get(`${name}.${one}`)]));
  const kept = typeof held === "object" ? held : {};
  return compact({ ...kept, ...read(texts, field), ...read(numbers, number), encoder: field(`${name}.encoder`) ?? "" });
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

/** Each value that is none of a list or an object, with its path: `outputs[0].url`. */
function* leavesOf(value, path = "") {
  if (typeof value !== "object" || value === null) {
    yield [path, value];
    return;
  }
  for (const [key, part] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${key}]` : path === "" ? key : `.${key}`;
    yield* leavesOf(part, path + step);
  }
}
