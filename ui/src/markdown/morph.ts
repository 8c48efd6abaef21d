// Turns one element into another by changing only what differs. What stays keeps its node, and with it
// the reader's selection; text that grows at its end is appended to.

export function morphChildren(from: Node, to: Node, first = 0): void {
  let index = first;
  for (const next of [...to.childNodes]) {
    const current = from.childNodes[index++];
    if (!current) from.appendChild(next);
    else if (!morph(current, next)) from.replaceChild(next, current);
  }
  while (from.childNodes.length > index) from.lastChild?.remove();
}

function morph(from: Node, to: Node): boolean {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return false;
  if (from instanceof Text) {
    const [old, text] = [from.data, to.nodeValue ?? ""];
    if (text.startsWith(old)) {
      if (text.length > old.length) from.appendData(text.slice(old.length));
    } else from.data = text;
    return true;
  }
  if (!(from instanceof Element) || !(to instanceof Element)) return true;
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  morphChildren(from, to);
  return true;
}
