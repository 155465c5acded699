// Colours come from the style sheet, so light and dark are decided in one place; patterns are drawn from them.

const colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "panel", "ink", "soft", "faint", "line", "run", "run-ink", "wait", "wait-line", "held", "held-line", "held-ink", "ready", "unknown", "job", "job-ink", "lag", "select", "zebra"])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  colours.font = style.getPropertyValue("--font").trim();
  colours.mono = style.getPropertyValue("--mono").trim();
  const context = byId("chart").getContext("2d");
  colours.hatch = tile(context, 7, (c, size) => {
    c.fillStyle = colours.wait;
    c.fillRect(0, 0, size, size);
    stroke(c, colours["wait-line"], 1, [[-2, 2, 2, -2], [0, size, size, 0], [size - 2, size + 2, size + 2, size - 2]]);
  });
  colours.stripes = tile(context, 8, (c, size) => {
    c.fillStyle = colours.held;
    c.fillRect(0, 0, size, size);
    stroke(c, colours["held-line"], 1.6, [[-2, size - 2, 2, size + 2], [0, 0, size, size], [size - 2, -2, size + 2, 2]]);
  });
  colours.dots = tile(context, 6, (c) => {
    c.fillStyle = colours.unknown;
    for (const [x, y] of [[1, 1], [4, 4]]) c.fillRect(x, y, 1.2, 1.2);
  });
}

function stroke(context, colour, width, lines) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  for (const [a, b, c, d] of lines) {
    context.moveTo(a, b);
    context.lineTo(c, d);
  }
  context.stroke();
}

/** A pattern of CSS pixels that stays sharp on screens with more. */
function tile(context, size, draw) {
  const scale = Math.max(1, Math.round(devicePixelRatio || 1));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size * scale;
  const drawing = canvas.getContext("2d");
  drawing.scale(scale, scale);
  draw(drawing, size);
  const pattern = context.createPattern(canvas, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / scale));
  return pattern;
}

/** t: follow the system, then the other one, and back. */
function switchTheme() {
  const root = document.documentElement;
  const dark = (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  readColours();
  paintLegend();
  refresh();
}
