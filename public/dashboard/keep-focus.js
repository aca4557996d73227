/**
 * Draws, and leaves the focus where it was: a list that is put in another order takes its nodes out for a moment, and the
 * browser forgets the focus then. When the node with the focus is gone for good, what stands around it gets the focus, so
 * that a keyboard goes on from there and not from the top of the page.
 *
 * @param {Element} root everything that `draw` may touch
 */
export function keepFocus(root, draw) {
  const held = document.activeElement;
  const around = root.contains(held) ? ancestorsOf(held, root) : [];
  draw();
  if (around.length === 0 || document.activeElement === held) return;
  if (held.isConnected && !held.disabled) {
    held.focus({ preventScroll: true });
    return;
  }
  const next = around.find((node) => node.isConnected && node.matches("ul, ol, section, form, main"));
  if (next === undefined) return;
  if (!next.hasAttribute("tabindex")) next.setAttribute("tabindex", "-1");
  next.focus({ preventScroll: true });
}

function ancestorsOf(node, root) {
  const found = [];
  for (let parent = node.parentElement; parent !== null && parent !== root; parent = parent.parentElement) {
    found.push(parent);
  }
  return found;
}
