// What is being written is not yet complete. Shown as it is, a sentence would begin with asterisks and turn
// bold at its end, and a table would begin as a line of bars. So its end is completed, or held back.

const MARKS = ["`", "***", "**", "*", "~~", "__"];

/** `tail` with its last line such that it looks as it will when what it begins has ended. */
export function mended(tail: string): string {
  const at = tail.lastIndexOf("\n") + 1;
  const before = tail.slice(0, at);
  const line = tail.slice(at);
  if (isTableHead(tail)) return tail.slice(0, tail.length - lastParagraph(tail).length);
  // Within code every character is what it is.
  if ((tail.match(/^\s*(```|~~~)/gm)?.length ?? 0) % 2 === 1) return /^\s*(`{3,}|~{3,})/.test(line) ? before : tail;
  // A marker that stands alone may become a list item, a heading, a rule or a fence.
  if (/^\s*([-+*#>=_~`]+|\d+[.)]?)\s*$/.test(line)) return before;
  return before + close(line);
}

function close(line: string): string {
  let text = line;
  const ticks = text.split("`").length - 1;
  if (ticks % 2 === 1) return text.endsWith("`") ? text.slice(0, -1) : `${text}\``;
  // A link that is being written: its text alone.
  text = text.replace(/!?\[([^\[\]]*)\](\([^()\s]*)?$/, "$1").replace(/!?\[([^\[\]]*)$/, "$1");
  for (const mark of MARKS.slice(1)) {
    if ((text.split(mark).length - 1) % 2 === 0) continue;
    const trimmed = text.trimEnd();
    if (trimmed.endsWith(mark)) return trimmed.slice(0, -mark.length);
    const opens = new RegExp(`(^|[\\s([{"'])${mark.replace(/\*/g, "\\*")}\\S[^\\n]*$`).test(trimmed);
    return opens ? trimmed + mark : text;
  }
  return text;
}

function lastParagraph(tail: string): string {
  const match = /(^|\n[ \t]*\n)([^\n]+(\n[^\n]*)?)$/.exec(tail);
  return match?.[2] ?? "";
}

/** The first line of a table, whose second line tells that it is one. */
function isTableHead(tail: string): boolean {
  const paragraph = lastParagraph(tail);
  if (!/^ {0,3}\|/.test(paragraph)) return false;
  const second = paragraph.split("\n")[1];
  return second === undefined ? paragraph.length < 1_000 : /^[ |:-]*$/.test(second) && !/^[ |:-]+-[ |:-]*\|\s*$/.test(second);
}
