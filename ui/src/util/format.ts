import { language, locale, t } from "../text";

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  const units = ["KB", "MB", "GB", "TB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function seconds(value: number): string {
  if (value < 60) return t("seconds", { n: value < 10 ? value.toFixed(1) : Math.round(value) });
  const minutes = Math.floor(value / 60);
  return `${minutes}:${String(Math.floor(value % 60)).padStart(2, "0")}`;
}

/** The time; of another day than today with its date. */
export function clockTime(epoch: number): string {
  const date = new Date(epoch * 1000);
  const today = new Date();
  const time = { hour: "2-digit", minute: "2-digit" } as const;
  if (date.toDateString() === today.toDateString()) return date.toLocaleTimeString(locale(), time);
  const year = date.getFullYear() === today.getFullYear() ? {} : ({ year: "numeric" } as const);
  return date.toLocaleString(locale(), { ...year, month: "short", day: "numeric", ...time });
}

export function dateTime(epoch: number): string {
  return new Date(epoch * 1000).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });
}

/** "in 12 minutes", "3 hours ago". */
export function relative(epoch: number, now: number, style: "long" | "narrow" = "long"): string {
  const difference = epoch - now;
  const format = new Intl.RelativeTimeFormat(language.value === "zh" ? "zh-CN" : "en", { numeric: "auto", style });
  const size = Math.abs(difference);
  if (size < 3_600) return format.format(Math.round(difference / 60), "minute");
  if (size < 86_400) return format.format(Math.round(difference / 3_600), "hour");
  return format.format(Math.round(difference / 86_400), "day");
}

export function dayOf(epoch: number): "today" | "yesterday" | "earlier" {
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  const days = (start.getTime() / 1000 - epoch) / 86_400;
  return days <= 0 ? "today" : days <= 1 ? "yesterday" : "earlier";
}
