/**
 * Pure: what the form says, as the session that the hub takes, without what was left empty. Throws an error with `field` for a
 * text that cannot be taken apart; what is wrong with its parts is for the hub to say.
 *
 * @param {FormData} form
 */
export function toSession(form) {
  const text = (name) => {
    const value = form.get(name)?.trim();
    return value === "" ? undefined : value;
  };
  const words = (name) => (text(name) === undefined ? undefined : splitWords(text(name), name));
  const number = (name) => numberOf(text(name));
  const usesImage = form.get("kind") === "image";
  const ports = rowsOf(form, "template.ports").map((at) =>
    compact({
      port: number(`${at}.port`),
      name: text(`${at}.name`),
      scheme: text(`${at}.scheme`),
      protocol: form.get(`${at}.protocol`) === "udp" ? "udp" : undefined,
      hostPort: number(`${at}.hostPort`),
      address: text(`${at}.address`),
    }),
  );
  const volumes = rowsOf(form, "volumes").map((at) =>
    compact({
      name: text(`${at}.name`) ?? "",
      path: text(`${at}.path`) ?? "",
      hostPath: text(`${at}.hostPath`),
      readOnly: form.has(`${at}.readOnly`) ? true : undefined,
      onStop: form.get(`${at}.onStop`) === "delete" ? "delete" : undefined,
    }),
  );
  // A value is taken as it is: blanks may belong to it.
  const variables = rowsOf(form, "template.env").flatMap((at) =>
    text(`${at}.name`) === undefined ? [] : [[text(`${at}.name`), form.get(`${at}.value`) ?? ""]],
  );
  const cpuPercent = number("activity.cpuPercent");
  const resources = compact({
    cpu: text("resources.cpu"),
    memory: text("resources.memory"),
    gpus: number("resources.gpus"),
  });
  return compact({
    id: text("id") ?? "",
    name: text("name"),
    user: text("user") ?? "",
    box: text("box"),
    select: text("select"),
    platform: text("platform"),
    template: compact({
      ...(usesImage
        ? { image: text("template.image"), args: words("template.args") }
        : { command: words("template.command") }),
      ports: nonEmpty(ports),
      env: variables.length === 0 ? undefined : Object.fromEntries(variables),
      workingDirectory: text("template.workingDirectory"),
    }),
    volumes: nonEmpty(volumes),
    resources: Object.keys(resources).length === 0 ? undefined : resources,
    idleTimeout: text("idleTimeout"),
    activity: cpuPercent === undefined ? undefined : { cpuPercent },
    maxDuration: text("maxDuration"),
    restart: text("restart"),
    hibernation: text("hibernation"),
    onLost: text("onLost"),
  });
}

/** Names of variables whose values open something. */
export function isSecretName(name) {
  return /pass|secret|token|key|credential/i.test(name);
}

/** A program and its arguments, parted at blanks; quotes keep blanks together, and nothing else has a meaning. */
export function splitWords(text, field) {
  const words = [];
  const word = /\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))(?=\s|$)/y;
  while (word.lastIndex < text.length) {
    const found = word.exec(text);
    if (found === null)
      throw Object.assign(new Error("words with quotes that do not close; allowed: program 'an argument' another"), {
        field,
      });
    words.push(found[1] ?? found[2] ?? found[3]);
  }
  return words;
}

/** `volumes[0]`, `volumes[2]`, … in the order of the form. */
function rowsOf(form, list) {
  const rows = new Set();
  for (const name of form.keys()) {
    if (name.startsWith(`${list}[`)) rows.add(name.slice(0, name.indexOf("]") + 1));
  }
  return [...rows];
}

function nonEmpty(list) {
  return list.length === 0 ? undefined : list;
}

/** A number that is none goes as it was written, so that the hub says what is wrong with it. */
function numberOf(text) {
  return text === undefined || !Number.isFinite(Number(text)) ? text : Number(text);
}

function compact(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
