import { byId, createKeyedList, element, setText } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { call } from "./api.js";

const SHOWN = 10;
const wish = '{"id":"web","generation":2}';
const EXAMPLES = {
  StartSession:
    '{"spec":{"id":"web","user":"anna","platform":"process",\n "template":{"command":["/bin/sleep","1000"]}},"generation":1}',
  StopSession: wish,
  HibernateSession: wish,
  WakeSession: wish,
  TouchSession: '{"id":"web"}',
  reconcile: "{}",
};

/** Asks the connected agents to do something once, and shows what they answered. */
export function createCommandForm() {
  const form = byId("command-form");
  const { name, args, deadline } = form.elements;
  name.replaceChildren(...Object.keys(EXAMPLES).map((one) => element("option", {}, one)));
  args.value = EXAMPLES[name.value];
  name.addEventListener("change", () => {
    args.value = EXAMPLES[name.value];
  });
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    let given;
    try {
      given = JSON.parse(args.value);
    } catch (error) {
      showNotice(`args: ${error.message}`, "error");
      return;
    }
    const body = { name: name.value, args: given, deadlineSeconds: Number(deadline.value) };
    const answer = await call("POST", "commands", body);
    if (answer !== undefined) showNotice(`${answer.name} (${answer.id}) was sent`);
  });
  const render = createKeyedList(byId("commands"), ({ id }) => id, createItem);
  return (commands) => render(commands.slice(-SHOWN).reverse());
}

function createItem(command) {
  const line = element("p", { class: "facts-line" });
  const node = element("li", { "data-command": command.id }, element("b", {}, `${command.name} (${command.id})`), line);
  return {
    node,
    update: ({ answer, answers }) => {
      if (answer === undefined) return setText(line, "no answer yet");
      const times = answers > 1 ? ` · told ${answers} times` : "";
      setText(line, `${answer.box}: ${answer.ok ? "done" : "not done"}: ${answer.text}${times}`);
    },
  };
}
