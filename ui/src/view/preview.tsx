import { useEffect, useState } from "preact/hooks";
import { api, ApiError, request } from "../api/client";
import { coloured, loadLanguages } from "../markdown/highlight";
import { explain, previewed } from "../state/app";
import type { Files } from "../state/files";
import { t } from "../text";
import { bytes } from "../util/format";
import { readTable } from "../util/csv";
import { Dialog } from "./dialog";
import { shown } from "./file-tree";
import { Icon } from "./icons";

const MOST = 512 * 1024;
const MOST_ROWS = 500;
const MOST_PICTURE = 32 * 1024 * 1024;
const PICTURES: Record<string, string> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif",
  bmp: "image/bmp", svg: "image/svg+xml", ico: "image/x-icon",
};
const BINARY = /^(zip|gz|tar|bz2|xz|7z|pdf|docx?|xlsx?|pptx?|exe|dll|so|bin|db|sqlite3?|pyc|class|jar|mp[34]|mov|avi|wav|ogg|woff2?|ttf|otf|parquet|npy|npz|pkl)$/;

type Content = { kind: "picture"; address: string } | { kind: "text"; text: string; cut: boolean } | { kind: "none" } | { kind: "problem"; why: string };

/** A file, looked at without running anything of it: text as text, pictures in image elements. */
export function Preview({ files, path }: { files: Files; path: string }) {
  const file = files.find(path);
  const href = file?.href ?? api.fileHref(files.session, path);
  const [content, setContent] = useState<Content | null>(null);
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  useEffect(() => {
    let address = "";
    let gone = false;
    void read(href, extension, file?.size ?? 0).then((found) => {
      if (found.kind === "picture") address = found.address;
      if (gone) URL.revokeObjectURL(address);
      else setContent(found);
    });
    return () => {
      gone = true;
      if (address) URL.revokeObjectURL(address);
    };
  }, [href, file?.modified_time]);
  const head = (
    <a class="button plain" href={href} download={path.split("/").at(-1)}>
      <Icon name="download" />
      {t("download")}
    </a>
  );
  return (
    <Dialog label={shown(path)} wide head={head} close={() => (previewed.value = null)}>
      {content ? <ContentView content={content} extension={extension} size={file?.size ?? 0} name={shown(path)} /> : <p class="quiet">{t("loading")}</p>}
    </Dialog>
  );
}

async function read(href: string, extension: string, size: number): Promise<Content> {
  try {
    const type = PICTURES[extension];
    if (type && size <= MOST_PICTURE) {
      const blob = await (await request(href)).blob();
      return { kind: "picture", address: URL.createObjectURL(new Blob([blob], { type })) };
    }
    if (BINARY.test(extension)) return { kind: "none" };
    const response = await request(href, size > MOST ? { headers: { Range: `bytes=0-${MOST - 1}` } } : {});
    const data = new Uint8Array(await response.arrayBuffer()).subarray(0, MOST);
    if (data.subarray(0, 8_000).includes(0)) return { kind: "none" };
    await loadLanguages();
    return { kind: "text", text: new TextDecoder().decode(data), cut: size > MOST };
  } catch (error) {
    if (error instanceof ApiError && error.unsupported) return { kind: "problem", why: t("previewUnsupported") };
    return { kind: "problem", why: t("previewFailed", { why: explain(error) }) };
  }
}

function ContentView({ content, extension, size, name }: { content: Content; extension: string; size: number; name: string }) {
  switch (content.kind) {
    case "picture":
      return <Picture address={content.address} name={name} />;
    case "none":
      return <p class="quiet">{t("previewNone")}</p>;
    case "problem":
      return <p class="bad" role="alert">{content.why}</p>;
    case "text":
      return (
        <>
          {extension === "csv" || extension === "tsv" ? <Table text={content.text} separator={extension === "tsv" ? "\t" : ","} /> : <Code text={content.text} extension={extension} />}
          {content.cut && <p class="quiet">{t("previewCut", { shown: bytes(MOST), all: bytes(size) })}</p>}
        </>
      );
  }
}

function Picture({ address, name }: { address: string; name: string }) {
  const [broken, setBroken] = useState(false);
  if (broken) return <p class="quiet">{t("previewNone")}</p>;
  return (
    <div class="preview-picture">
      <img src={address} alt={name} onError={() => setBroken(true)} />
    </div>
  );
}

const LANGUAGES: Record<string, string> = { py: "python", js: "javascript", ts: "typescript", sh: "bash", yml: "yaml", md: "markdown", rs: "rust", rb: "ruby", h: "c", html: "xml", svg: "xml", toml: "ini" };

function Code({ text, extension }: { text: string; extension: string }) {
  return (
    <pre class="preview-text" tabIndex={0}>
      <code
        ref={(element) => {
          if (element && element.childNodes.length === 0) element.append(coloured(text, LANGUAGES[extension] ?? extension));
        }}
      />
    </pre>
  );
}

function Table({ text, separator }: { text: string; separator: string }) {
  const { rows, total } = readTable(text, separator, MOST_ROWS + 1);
  const [head = [], ...body] = rows;
  return (
    <>
      <div class="preview-table" tabIndex={0}>
        <table>
          <thead>
            <tr>
              {head.map((cell, index) => (
                <th key={index}>{cell}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {body.map((row, index) => (
              <tr key={index}>
                {row.map((cell, column) => (
                  <td key={column}>{cell}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="quiet">{t("rows", { shown: body.length, all: Math.max(0, total - 1) })}</p>
    </>
  );
}
