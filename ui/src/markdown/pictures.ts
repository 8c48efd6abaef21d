import { api } from "../api/client";

const KINDS = /\.(png|jpe?g|gif|webp|avif|bmp|svg)$/i;

/** Pictures of the workspace, in place of the links to them. In an image element even SVG is inert. */
export function showPictures(root: HTMLElement, session: string): void {
  for (const link of root.querySelectorAll<HTMLElement>("a[data-picture]")) {
    const path = link.dataset.file ?? "";
    if (link.querySelector("img") || !KINDS.test(path)) continue;
    const image = document.createElement("img");
    image.alt = link.textContent ?? "";
    image.onload = () => link.replaceChildren(image);
    image.src = api.fileHref(session, path);
  }
}
