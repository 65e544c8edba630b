// Draws the history of a screen as an SVG that plays by itself, in a loop, with CSS alone. Where animations
// don't run, or are not wanted, it shows the screen at its end.

import type { LineVersion, ScreenHistory, Span } from "./screen-history.ts";

const FONT_SIZE = 13;
const CHARACTER_WIDTH = 7.8;
const LINE_HEIGHT = 19;
const PADDING = 18;
const TITLE_HEIGHT = 36;
const FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace";
const STYLES = new Map([
  [1, "b"],
  [2, "d"],
  [31, "r"],
  [32, "g"],
  [36, "c"],
]);

export interface AnimationOptions {
  title: string;
  /** Characters in the longest line. */
  columns: number;
  /** How long the end is shown before it starts again. */
  holdMs: number;
}

/** The times of the history count from its beginning. */
export function svgAnimation(history: ScreenHistory, options: AnimationOptions): string {
  const { title, columns, holdMs } = options;
  const endMs = Math.max(...history.flat().map(({ atMs }) => atMs));
  const durationMs = endMs + holdMs;
  const percent = (atMs: number) => `${((atMs / durationMs) * 100).toFixed(2)}%`;
  const keyframes = new Map<string, string>();
  const nameOf = (fromMs: number, toMs: number | undefined) => {
    const gone = toMs === undefined ? "" : `${percent(toMs)}{visibility:hidden}`;
    const rule = `0%{visibility:hidden}${percent(fromMs)}{visibility:visible}${gone}`;
    if (!keyframes.has(rule)) keyframes.set(rule, `k${keyframes.size}`);
    return keyframes.get(rule)!;
  };

  const texts = history.flatMap((versions, row) =>
    versions.map((version, index) => {
      const next = versions[index + 1]?.atMs;
      const y = TITLE_HEIGHT + PADDING + row * LINE_HEIGHT + FONT_SIZE;
      const hidden = next === undefined ? "" : ' visibility="hidden"';
      return textElement(
        version,
        y,
        `style="animation-name:${nameOf(version.atMs, next)}"${hidden}`,
      );
    }),
  );
  const width = Math.ceil(columns * CHARACTER_WIDTH) + 2 * PADDING;
  const height = TITLE_HEIGHT + 2 * PADDING + history.length * LINE_HEIGHT;
  return `\
<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">
<title>${escaped(title)}</title>
<style>
text{font:${FONT_SIZE}px ${FONTS};fill:#d5d9e0;white-space:pre}
.s{animation:${durationMs}ms step-end infinite}
.t{fill:#8b93a1}.b{font-weight:bold;fill:#fff}.d{fill:#4a5160}.r{fill:#ff7b72}.g{fill:#56d364}.c{fill:#76c7f0}
${[...keyframes].map(([rule, name]) => `@keyframes ${name}{${rule}}`).join("\n")}
@media (prefers-reduced-motion:reduce){.s{animation:none}}
</style>
<rect width="${width}" height="${height}" rx="10" fill="#14171d"/>
<text class="t" x="50%" y="${TITLE_HEIGHT - 12}" text-anchor="middle">${escaped(title)}</text>
${texts.join("\n")}
</svg>
`;
}

function textElement({ spans }: LineVersion, y: number, attributes: string): string {
  const characters = spans.reduce((sum, { text }) => sum + text.length, 0);
  const length = (characters * CHARACTER_WIDTH).toFixed(1);
  const content = spans.map(spanElement).join("");
  return `<text class="s" ${attributes} x="${PADDING}" y="${y}" textLength="${length}" xml:space="preserve">${content}</text>`;
}

function spanElement({ text, codes }: Span): string {
  const style = codes.map((code) => STYLES.get(code)).join(" ");
  return style === "" ? escaped(text) : `<tspan class="${style}">${escaped(text)}</tspan>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
