// Markdown to HTML, without any HTML of the author's own: tags are shown as they were written.
//
// Answers are hostile: an agent repeats what it has read. So links go only to other sites (in a new tab)
// and to files of the workspace; an address of this server is no link, because some of them act; pictures
// come only from the workspace. DOMPurify looks at all of it again (see sanitise.ts).

import MarkdownIt from "markdown-it";

type Token = ReturnType<InstanceType<typeof MarkdownIt>["parse"]>[number];

export const markdown = new MarkdownIt({ html: false, linkify: true, typographer: false, breaks: false });
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
markdown.validateLink = (address) => targetOf(address) !== null;

export type Target = { kind: "site"; address: string } | { kind: "file"; path: string };

/** Where a link may lead; null for nowhere. */
export function targetOf(address: string): Target | null {
  const text = address.trim();
  if (/^[a-z][a-z0-9+.-]*:/i.test(text) || text.startsWith("//")) {
    if (!/^(https?|mailto):/i.test(text)) return null;
    try {
      const url = new URL(text);
      const own = url.host === location.host || url.host === "";
      return own && url.protocol !== "mailto:" ? null : { kind: "site", address: url.href };
    } catch {
      return null;
    }
  }
  if (text === "" || /^[#?/\\]/.test(text)) return null;
  try {
    const path = decodeURIComponent(text.replace(/[?#].*$/, "")).replace(/^(\.\/)+/, "");
    return path === "" || path.split("/").includes("..") ? null : { kind: "file", path };
  } catch {
    return null;
  }
}

markdown.renderer.rules.link_open = (tokens, index, options, _env, self) => {
  const token = tokens[index] as Token;
  const target = targetOf(String(token.attrGet("href") ?? ""));
  if (target?.kind === "site") {
    token.attrSet("target", "_blank");
    token.attrSet("rel", "noopener noreferrer nofollow");
  } else if (target) {
    token.attrSet("href", "#");
    token.attrSet("data-file", target.path);
  }
  return self.renderToken(tokens, index, options);
};

markdown.renderer.rules.image = (tokens, index) => {
  const token = tokens[index] as Token;
  const target = targetOf(String(token.attrGet("src") ?? ""));
  const text = escape(token.content || String(token.attrGet("src") ?? ""));
  if (target?.kind === "file") return `<a href="#" class="picture" data-file="${escape(target.path)}" data-picture="">${text}</a>`;
  // A picture on another site would tell that site who reads this, and when.
  if (target) return `<a href="${escape(target.address)}" target="_blank" rel="noopener noreferrer nofollow">${text}</a>`;
  return text;
};

// The stream of a long code block is drawn by code.ts; this is its frame.
markdown.renderer.rules.fence = (tokens, index) => {
  const token = tokens[index] as Token;
  return codeFrame(token.info, token.content);
};
markdown.renderer.rules.code_block = (tokens, index) => codeFrame("", (tokens[index] as Token).content);

export function codeFrame(info: string, content: string): string {
  const language = escape(info.trim().split(/\s+/)[0] ?? "");
  return `<div class="code" data-language="${language}"><pre tabindex="0"><code>${escape(content)}</code></pre></div>`;
}

markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>';
markdown.renderer.rules.table_close = () => "</table></div>";

// The policy allows no style attributes, so columns are aligned by class.
for (const rule of ["th_open", "td_open"]) {
  markdown.renderer.rules[rule] = (tokens, index, options, _env, self) => {
    const token = tokens[index] as Token;
    const side = /text-align:(\w+)/.exec(String(token.attrGet("style") ?? ""))?.[1];
    token.attrs = side ? [["class", `to-${side}`]] : null;
    return self.renderToken(tokens, index, options);
  };
}

// Models write <br> in tables, where there is no other way to break a line.
markdown.inline.ruler.push("br", (state, silent) => {
  const match = /^<br\s*\/?>/i.exec(state.src.slice(state.pos, state.pos + 8));
  if (!match) return false;
  if (!silent) state.push("hardbreak", "br", 0);
  state.pos += match[0].length;
  return true;
});

export function escape(text: string): string {
  return markdown.utils.escapeHtml(text);
}
