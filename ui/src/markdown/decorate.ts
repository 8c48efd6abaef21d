// What blocks get beyond their markdown: a head with a copy button on code, colours when a block is final,
// pictures from the workspace. Buttons act by delegation (see view/answer.tsx), for blocks are morphed.

import { t } from "../text";
import { highlight } from "./highlight";

export function decorate(block: HTMLElement, final: boolean): void {
  const codes = block.matches(".code") ? [block] : [...block.querySelectorAll<HTMLElement>(".code")];
  for (const code of codes) {
    if (!code.querySelector(".code-head")) code.prepend(head(code.dataset.language ?? ""));
    if (final) highlight(code);
  }
}

function head(language: string): HTMLElement {
  const element = document.createElement("div");
  element.className = "code-head";
  const name = document.createElement("span");
  name.textContent = language;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.dataset.copy = "";
  copy.textContent = t("copy");
  element.append(name, copy);
  return element;
}
