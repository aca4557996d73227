import { byId } from "../shared/element.js";
import { showNotice } from "../shared/notice.js";
import { call } from "./api.js";

const DEFAULT_INPUT = "test://bars?size=640x360&fps=25&tone=440";

/** Starts and stops streams. The output follows the id until somebody writes another one. */
export function createStartForm() {
  const form = byId("start-form");
  const { id, input, output } = form.elements;
  let rtmpUrl;
  let isOwnOutput = true;
  input.value = DEFAULT_INPUT;
  id.value = "cam-1";

  const followId = () => {
    if (isOwnOutput && rtmpUrl !== undefined) output.value = `${rtmpUrl}/${id.value}`;
  };
  id.addEventListener("input", followId);
  output.addEventListener("input", () => {
    isOwnOutput = output.value === "" || output.value === `${rtmpUrl}/${id.value}`;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const stream = { id: id.value, input: input.value, output: output.value };
    const isSimple = form.elements.form.value === "simple";
    const answer = isSimple
      ? await call("POST", "send-event", { eventType: "start", ...stream })
      : await call("POST", "streams", stream);
    if (answer === undefined) return;
    showNotice(
      answer.clients === 0
        ? `${stream.id}: nobody is connected to start it`
        : `${stream.id}: asked ${answer.clients} to start it`,
    );
  });
  byId("stop-typed").addEventListener("click", async () => {
    const isSimple = form.elements.form.value === "simple";
    const answer = isSimple
      ? await call("POST", "send-event", { eventType: "stop", id: id.value })
      : await call("DELETE", `streams/${encodeURIComponent(id.value)}`);
    if (answer !== undefined) showNotice(`${id.value}: asked to stop`);
  });
  return {
    setRtmpUrl: (url) => {
      rtmpUrl = url;
      followId();
    },
  };
}
