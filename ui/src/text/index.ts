// The page's words, in the language of its reader.

import { signal } from "@preact/signals";
import { readStore, writeStore } from "../util/store";
import { en } from "./en";
import { zh } from "./zh";

export type Language = "en" | "zh";
export type Key = keyof typeof en;

function preferred(): Language {
  const chosen = readStore<string>("qchat.language", "");
  if (chosen === "en" || chosen === "zh") return chosen;
  for (const language of navigator.languages) {
    if (language.toLowerCase().startsWith("zh")) return "zh";
    if (language.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}

export const language = signal<Language>(preferred());

export function setLanguage(next: Language): void {
  language.value = next;
  writeStore("qchat.language", next);
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
}

/** The text for `key`, with `{name}` replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text: string = (language.value === "zh" ? zh : en)[key];
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

/** The text for a key that is composed; null where there is none. */
export function maybe(key: string): string | null {
  return key in en ? t(key as Key) : null;
}

export const locale = () => (language.value === "zh" ? "zh-CN" : "en");
