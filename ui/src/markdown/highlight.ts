// Colours for code, in idle time, and never under the reader's selection.

import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import lua from "highlight.js/lib/languages/lua";
import makefile from "highlight.js/lib/languages/makefile";
import markdownLanguage from "highlight.js/lib/languages/markdown";
import php from "highlight.js/lib/languages/php";
import powershell from "highlight.js/lib/languages/powershell";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import scala from "highlight.js/lib/languages/scala";
import shell from "highlight.js/lib/languages/shell";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { sanitise } from "./sanitise";

const LANGUAGES = {
  bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, kotlin, lua, makefile,
  markdown: markdownLanguage, php, powershell, python, r, ruby, rust, scala, shell, sql, swift, typescript, xml, yaml,
};
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** Beyond this a block would take longer than a frame. */
const MAX_CHARS = 20_000;
const waiting = new Set<HTMLElement>();
let timer: ReturnType<typeof setTimeout> | null = null;

export function highlight(block: HTMLElement): void {
  const language = block.dataset.language ?? "";
  if (block.dataset.coloured !== undefined || !hljs.getLanguage(language)) return;
  waiting.add(block);
  timer ??= setTimeout(colourNext, 0);
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
  if (source.length > MAX_CHARS || !hljs.getLanguage(language)) return source;
  return sanitise(hljs.highlight(source, { language, ignoreIllegals: true }).value);
}
