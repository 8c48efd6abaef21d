// Colours for code, in idle time, and never under the reader's selection.

import { sanitise } from "./sanitise";

declare const LANGUAGES_SCRIPT: string;
type Highlighter = typeof import("./languages")["default"];

let hljs: Highlighter | null = null;
let loading: Promise<void> | null = null;

/** Load the languages, once; without them code stays plain. */
export function loadLanguages(): Promise<void> {
  loading ??= import(LANGUAGES_SCRIPT).then(
    (script: { default: Highlighter }) => {
      hljs = script.default;
    },
    () => {
      loading = null;
    },
  );
  return loading;
}

/** Beyond this a block would take longer than a frame. */
const MAX_CHARS = 20_000;
const waiting = new Set<HTMLElement>();
let timer: ReturnType<typeof setTimeout> | null = null;

export function highlight(block: HTMLElement): void {
  const language = block.dataset.language ?? "";
  if (!language || block.dataset.coloured !== undefined) return;
  waiting.add(block);
  if (hljs) timer ??= setTimeout(colourNext, 0);
  else void loadLanguages().then(() => hljs && (timer ??= setTimeout(colourNext, 0)));
}

function colourNext(): void {
  timer = null;
  for (const block of waiting) {
    if (isSelected(block)) continue;
    waiting.delete(block);
    colour(block);
    break;
  }
  const rest = [...waiting];
  if (rest.length > 0) timer = setTimeout(colourNext, rest.every(isSelected) ? 1000 : 0);
}

function isSelected(block: HTMLElement): boolean {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(block, true);
}

function colour(block: HTMLElement): void {
  const code = block.querySelector("code");
  const source = code?.textContent ?? "";
  if (!code || !block.isConnected || source.length > MAX_CHARS) return;
  code.replaceChildren(coloured(source, block.dataset.language ?? ""));
  block.dataset.coloured = "";
}

/** `source` with colours; plain where the language is not known, or the text too long. */
export function coloured(source: string, language: string): DocumentFragment | string {
  if (source.length > MAX_CHARS || !hljs?.getLanguage(language)) return source;
  return sanitise(hljs.highlight(source, { language, ignoreIllegals: true }).value);
}
