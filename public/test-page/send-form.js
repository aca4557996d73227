import { byId, setText } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { call } from "./api.js";

const EXAMPLES = {
  data: '{"eventType":"stop","id":"cam-1"}',
  raw: ': anything, as it is\ndata: {"eventType":"stop",\ndata: "id":"cam-1"}\n\n',
};

/** Sends one event, or bytes as they are, to everybody who is connected. */
export function createSendForm() {
  const form = byId("send-form");
  const { text, event, id } = form.elements;
  text.value = EXAMPLES.data;
  form.addEventListener("change", () => {
    const how = form.elements.how.value;
    byId("send-names").hidden = how === "raw";
    setText(byId("send-label"), how === "raw" ? "Bytes, with the empty line that ends an event" : "Data");
    if (Object.values(EXAMPLES).includes(text.value)) text.value = EXAMPLES[how];
  });
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const isRaw = form.elements.how.value === "raw";
    const body = isRaw ? { raw: text.value } : { event: event.value, id: id.value, data: text.value };
    const answer = await call("POST", "send-event", body);
    if (answer !== undefined) showNotice(answer.message);
  });
}
