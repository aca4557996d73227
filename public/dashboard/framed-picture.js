import { element } from "../shared/element.js";
import { pathOf } from "./api.js";

/**
 * A live picture in a frame. Only the frame may fetch from where the picture is: the hub gives it a policy that allows that one
 * place, and this page, which holds the token, may talk to the hub alone.
 *
 * @param {{box: string, id: string}} workload
 */
export function createFramedPicture({ box, id }) {
  const node = element("iframe", { class: "picture-frame", title: `Live picture of ${id}`, allow: "autoplay" });
  let source;
  let address;

  const tell = () => node.contentWindow?.picture?.update(source);
  node.addEventListener("load", tell);
  return {
    node,
    /** @param {{url: string, isOn: boolean, connects?: number} | undefined} next `undefined`: there is none */
    update: (next) => {
      source = next;
      const from = next === undefined ? undefined : originOf(next.url);
      const wanted =
        from === undefined
          ? undefined
          : `${pathOf("v1", "boxes", box, "workloads", id, "picture")}?${new URLSearchParams({ from })}`;
      if (wanted === address) tell();
      else {
        address = wanted;
        if (wanted === undefined) node.removeAttribute("src");
        else node.src = wanted;
      }
    },
  };
}

/** As the hub writes it: `URL.origin` knows no ws. */
function originOf(text) {
  const { protocol, host } = new URL(text);
  return `${protocol}//${host}`;
}
