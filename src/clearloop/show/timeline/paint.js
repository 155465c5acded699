// Draws what is in sight. The work of a frame is bounded by pixels, not by records: of spans narrower than a column of
// the screen, those that begin in the same one are drawn together (as high as their share of it), found by galloping
// through the lane and summed by two look-ups. A column is a pixel wide, or more where there are many lanes, and more
// still while the picture moves; when it rests it is drawn finely once. Rectangles are collected by colour and filled
// colour by colour.

const WIDE_ENOUGH = 1.25; // columns from which a span is drawn by itself
const LEVELS = 8; // heights of a column's share
const MOST_MOVING = 12000, MOST_RESTING = 24000; // columns in all lanes together
const RESTS = 140; // ms without a change

let batches, texts, heldInSight, column = 1, origin = 0, resting = 0;

function inSight() {
  const scroller = byId("scroller"), top = scroller.scrollTop;
  const from = rowAt(top);
  let to = from;
  while (to < app.rows.length && app.rows[to].top < top + scroller.clientHeight - AXIS) to++;
  return app.rows.slice(from, to);
}

function fitCanvas(canvas) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  const wide = Math.round(width * scale), high = Math.round(height * scale);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return [context, width, height];
}

function put(name, x, y, width, height) {
  batches[name].push(x, y, width, height);
}

function paint() {
  const [context, width, height] = fitCanvas(byId("chart"));
  if (!width) return;
  const { begin, end } = app.view, top = byId("scroller").scrollTop;
  app.width = width;
  const { scale } = app;
  batches = { zebra: [], select: [], hatch: [], wait: [], dots: [], ready: [], run: [], job: [], held: [], stripes: [], edge: [], mark: [] };
  texts = [];
  heldInSight = [];
  app.stats.items = 0;
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, width, height);
  const ticks = axisTicks(begin, end, width);
  const rows = inSight();
  const moves = performance.now() < app.movesUntil;
  let lanes = 0;
  for (const row of rows) lanes += row.type === "group" ? 4 : 1;
  const finest = Math.max(1, Math.min(8, (lanes * width) / MOST_RESTING));
  column = moves ? Math.max(1, Math.min(12, (lanes * width) / MOST_MOVING)) : finest;
  origin = (-begin * scale) % column; // columns stay with the time that they show while it moves
  clearTimeout(resting);
  if (column > finest) resting = setTimeout(repaint, RESTS);
  for (const row of rows) {
    if (row.type === "loop") continue;
    const y = row.top - top + AXIS;
    if (app.rows[app.row] === row) put("select", 0, y, width, row.height);
    else if (row.height >= READABLE) put("zebra", 0, y + row.height - 1, width, 1);
    if (row.type === "group") paintGroup(row, y, width);
    else if (row.type === "worker") paintSpans(row, row.loop.work, ...row.loop.workRange[row.lane], y, width);
    else paintSpans(row, row.loop.spans, ...row.loop.range(row.lane), y, width);
  }
  fill(context, "select");
  paintTicks(context, ticks, height);
  for (const name of ["zebra", "dots", "wait", "hatch", "ready", "run", "job", "held", "stripes", "edge", "mark"]) fill(context, name);
  const chosen = chosenArrows(), strong = arrowLines(chosen, width, height), weak = arrowLines(otherArrows(chosen), width, height);
  context.globalAlpha = strong.length ? 0.35 : 0.9;
  paintLines(context, weak, 1);
  context.globalAlpha = 1;
  paintLines(context, strong, 1.5);
  paintTexts(context, [...strong, ...weak]);
  paintSelection(context, width);
  paintStrips(context, width, top, rows);
  paintAxis(context, ticks, width);
  paintMap();
}

function fill(context, name) {
  const batch = batches[name];
  context.fillStyle = { edge: colours["held-line"], mark: colours["held"] }[name] ?? colours[name];
  for (let i = 0; i < batch.length; i += 4) context.fillRect(batch[i], batch[i + 1], batch[i + 2], batch[i + 3]);
  app.stats.items += batch.length / 4;
}

/** The spans of one lane. */
function paintSpans(row, table, from, to, y, width) {
  const { begin, end, kind } = table, { view, scale } = app;
  const gap = row.height >= 18 ? 2 : row.height >= READABLE ? 1 : row.height >= 8 ? 0.5 : 0;
  const box = { y: y + gap, height: row.height - 2 * gap };
  let i = upperBound(end, view.begin, from, to);
  let pending = null; // neighbouring columns that look alike become one rectangle
  while (i < to && begin[i] < view.end) {
    const x = (begin[i] - view.begin) * scale, wide = (end[i] - begin[i]) * scale;
    if (wide >= WIDE_ENOUGH * column) {
      pending = flushShares(pending, box);
      paintSpan(row, table, i, Math.max(-4, x), Math.min(width + 4, x + wide), box);
      i++;
      continue;
    }
    const place = Math.floor((x - origin) / column), stop = view.begin + ((place + 1) * column + origin) / scale;
    let next = gallop(begin, stop, i + 1, to);
    if (next > i + 1 && (end[next - 1] - begin[next - 1]) * scale >= WIDE_ENOUGH * column) next--; // drawn by itself
    const share = shares(table, i, next, scale);
    if (pending && pending.run === share.run && pending.held === share.held && pending.job === share.job && pending.until === place) pending.until = place + 1;
    else {
      flushShares(pending, box);
      pending = Object.assign(share, { from: place, until: place + 1 });
    }
    i = next;
  }
  flushShares(pending, box);
}

/** How much of a column the spans [from, to) ran and were held, in LEVELS. */
function shares(table, from, to, scale) {
  const level = (ns) => (ns > 0 ? Math.max(1, Math.min(LEVELS, Math.round((ns * scale * LEVELS) / column))) : 0);
  const ran = level(table.sums.run[to] - table.sums.run[from]);
  const job = table.kind[from] === JOB;
  return { run: job ? 0 : ran, job: job ? ran : 0, held: level(table.sums.held[to] - table.sums.held[from]), dots: table.kind[from] === UNKNOWN && to === from + 1 };
}

function flushShares(share, box) {
  if (!share) return null;
  // whole pixels, or the seams between columns would be seen
  const from = Math.round(share.from * column + origin), wide = Math.round(share.until * column + origin) - from, part = box.height / LEVELS;
  if (share.dots) put("dots", from, box.y, wide, box.height);
  else if (!share.job) put("wait", from, box.y + box.height * 0.3, wide, box.height * 0.4);
  const held = share.held ? Math.max(2, share.held * part) : 0;
  const run = Math.max(share.run, share.job) ? Math.max(1.5, box.height * 0.3, Math.max(share.run, share.job) * part) : 0;
  if (run) put(share.job ? "job" : "run", from, box.y + box.height - Math.min(run, box.height), wide, Math.min(run, box.height));
  if (held) put("held", from, box.y, wide, Math.min(held, box.height));
  return null;
}

function paintSpan(row, table, i, x, until, box) {
  const wide = until - x, { height } = box;
  switch (table.kind[i]) {
    case RUN:
      put("run", x, box.y, wide, height);
      if (row.loop.holding.has(i)) put("edge", x, box.y + height - Math.min(3, height / 3), wide, Math.min(3, height / 3));
      break;
    case AWAIT:
      put(wide < 5 ? "wait" : "hatch", x, box.y + height * 0.22, wide, height * 0.56);
      break;
    case HELD:
      put(wide < 4 || height < 5 ? "held" : "stripes", x, box.y, wide, height);
      if (wide > 5) {
        put("edge", x, box.y, 1.5, height);
        heldInSight.push({ row, span: i });
      }
      break;
    case READY:
      put("ready", x, box.y + height * 0.4, wide, Math.max(1, height * 0.2));
      break;
    case JOB:
      put("job", x, box.y, wide, height);
      break;
    default:
      put("dots", x, box.y, wide, height);
  }
  if (wide > 44 && row.height >= READABLE) texts.push([row, table, i, Math.max(0, x), until, box]);
}

// ---- words in the spans

const widths = new Map();

function fitted(context, text, room) {
  const key = `${context.font}|${text}`;
  let wide = widths.get(key);
  if (wide === undefined) {
    if (widths.size > 20000) widths.clear();
    widths.set(key, (wide = context.measureText(text).width));
  }
  if (wide <= room) return text;
  const keep = Math.floor((text.length * room) / wide) - 1;
  return keep < 3 ? "" : `${text.slice(0, keep)}…`;
}

/** What a span says of itself, the most telling first. */
function spanLabel(row, table, i) {
  const { loop } = row, { strings } = app.model, lasted = duration(table.end[i] - table.begin[i]);
  if (table === loop.work) return `${strings[loop.jobs.function[table.job[i]]]} · ${lasted}`;
  const label = strings[table.label[i]];
  if (table.kind[i] === RUN) {
    const what = loop.holding.has(i) || table.lane[i] >= 0 ? placeCode(app.model, table.place[i]) : "";
    return `${what || label || "ran"} · ${lasted}`;
  }
  if (table.kind[i] === AWAIT) return `${label || "waits"} · ${lasted}`;
  if (table.kind[i] === HELD) {
    const holder = table.by[i];
    const who = holder < 0 ? "" : table.lane[holder] < 0 ? "by a callback" : `by ${laneName(loop, table.lane[holder])}`;
    const more = loop.holdersOf(i).length - 1;
    return `held ${lasted} ${who}${more > 0 ? ` and ${grouped(more)} more` : ""}`;
  }
  if (table.kind[i] === UNKNOWN) return "not recorded";
  return "";
}

function paintTexts(context, lines) {
  const size = Math.min(11.5, Math.max(9, app.size - 5));
  context.font = `${size}px ${colours.font}`;
  context.textBaseline = "middle";
  for (const [row, table, i, left, right, box] of texts) {
    const kind = table.kind[i], text = spanLabel(row, table, i), y = box.y + box.height / 2 + 0.5;
    fitted(context, text, 0); // measures it
    const [x, until] = kind === HELD && lines.length ? freeStretch(lines, y, left, right, widths.get(`${context.font}|${text}`) + 12) : [left, right];
    const room = until - x - 9, whole = fitted(context, text, room), label = whole === text ? text : fitted(context, text.split(" · ")[0], room);
    if (!label) continue;
    if (kind === AWAIT || kind === UNKNOWN || kind === HELD) {
      // the pattern gives way to the words
      context.fillStyle = kind === HELD ? colours.held : kind === AWAIT ? colours.wait : colours.paper;
      const high = Math.min(box.height * (kind === AWAIT ? 0.56 : 1), size + 4);
      context.fillRect(x + 4, y - 0.5 - high / 2, widths.get(`${context.font}|${label}`) + 4 || context.measureText(label).width + 4, high);
    }
    context.fillStyle = { [RUN]: colours["run-ink"], [JOB]: colours["job-ink"], [HELD]: colours["held-ink"], [AWAIT]: colours.ink }[kind] ?? colours.soft;
    context.fillText(label, x + 6, y);
    app.stats.items++;
  }
}

// ---- many tasks in one lane

function paintGroup(row, y, width) {
  const bins = densityFor(row.group), { view, scale } = app;
  const half = (row.height - 6) / 2, top = y + 3, bottom = y + row.height - 3;
  for (let x = origin - column; x < width; x += column) {
    const from = view.begin + x / scale, a = (from - bins.from) / bins.width, b = (from + column / scale - bins.from) / bins.width;
    const first = Math.max(0, Math.floor(a)), last = Math.min(BINS - 1, Math.max(first, Math.ceil(b) - 1));
    let run = 0, held = 0, alive = 0;
    for (let bin = first; bin <= last; bin++) {
      run += bins.run[bin];
      held = Math.max(held, bins.held[bin]);
      alive = Math.max(alive, bins.alive[bin]);
    }
    if (alive <= 0.0001) continue;
    run = Math.min(1, run / (last - first + 1));
    const left = Math.round(x), wide = Math.round(x + column) - left; // no seams
    put("wait", left, top, wide, Math.max(1, (half * alive) / bins.most));
    if (held > 0) put("held", left, top, wide, Math.max(1.5, half * Math.min(1, held / bins.most)));
    if (run > 0.0005) put("run", left, bottom - Math.max(1, run * (half - 2)), wide, Math.max(1, run * (half - 2)));
  }
}

// ---- the axis

function axisTicks(begin, end, width) {
  const wanted = (end - begin) / Math.max(2, width / 110), power = 10 ** Math.floor(Math.log10(wanted));
  const step = Math.max(1, [1, 2, 5, 10].find((m) => m * power >= wanted) * power);
  const ticks = [];
  for (let at = Math.ceil(begin / step) * step; at < end && ticks.length < 100; at += step) ticks.push(at);
  return { ticks, step };
}

function paintTicks(context, { ticks }, height) {
  context.fillStyle = colours.line;
  for (const at of ticks) context.fillRect(Math.round((at - app.view.begin) * app.scale), AXIS, 1, height);
}

function paintAxis(context, { ticks, step }, width) {
  context.fillStyle = colours.panel;
  context.fillRect(0, 0, width, AXIS);
  context.fillStyle = colours.line;
  context.fillRect(0, AXIS - 1, width, 1);
  context.font = `11px ${colours.font}`;
  context.textBaseline = "middle";
  for (const at of ticks) {
    const x = Math.round((at - app.view.begin) * app.scale);
    context.fillStyle = colours.faint;
    context.fillRect(x, AXIS - 6, 1, 5);
    context.fillStyle = colours.soft;
    const text = moment(at, step);
    if (x + 6 + context.measureText(text).width < width) context.fillText(text, x + 4, AXIS / 2);
  }
}

// ---- utilisation and lag

/** The strip of a loop stays in sight as long as one of its lanes is. */
function paintStrips(context, width, top, rows) {
  const loops = new Set(rows.map((row) => row.loop));
  for (const loop of loops) paintStrip(context, loop, AXIS + stripTop(loop, top), width);
}

/** Where a loop's strip stands: at its place, or above its lanes as long as they last. */
function stripTop(loop, top) {
  const { row, nextRow } = loop;
  return Math.min(Math.max(0, row.top - top), nextRow ? nextRow.top - top - STRIP : Infinity);
}

const LAG_FROM = Math.log10(0.1 * MS);

function worstLag(loop) {
  return (loop.worstLag ??= loop.strip.lag.reduce((most, one) => Math.max(most, one), 0));
}

function lagHeight(loop, lag, high) {
  const most = Math.max(10 * MS, worstLag(loop));
  return lag <= 0.1 * MS ? 0 : Math.max(1, (high * (Math.log10(lag) - LAG_FROM)) / (Math.log10(most) - LAG_FROM));
}

/** Share of [from, to) in which the loop did not wait; -1 where it did not run or nothing was recorded. */
function utilisation(loop, from, to) {
  const { strip, bucket } = loop, last = strip.utilisation.length - 1;
  const a = Math.floor((from - loop.begin) / bucket), b = Math.ceil((to - loop.begin) / bucket) - 1;
  if (b < 0 || a > last) return [-1, 0];
  let sum = 0, count = 0, lag = 0;
  for (let i = Math.max(0, a); i <= Math.min(last, b); i++) {
    lag = Math.max(lag, strip.lag[i]);
    if (strip.utilisation[i] < 0) continue;
    sum += strip.utilisation[i];
    count++;
  }
  if (!count) return [-1, lag];
  // narrower than a bucket: the waits themselves
  if (to - from < bucket && loop.waits.begin.length) return [Math.max(0, 1 - covered(loop.waits, from, to) / (to - from)), lag];
  return [sum / count, lag];
}

function paintStrip(context, loop, y, width) {
  context.fillStyle = colours.panel;
  context.fillRect(0, y, width, STRIP);
  const middle = y + 30, bottom = y + STRIP - 4, { view, scale } = app;
  const run = [], lag = [], dots = [];
  for (let x = 0; x < width; x++) {
    const from = view.begin + x / scale;
    const [used, late] = utilisation(loop, from, from + 1 / scale);
    if (used < 0) {
      if (from >= loop.begin && from <= loop.end) dots.push(x);
    } else if (used > 0) run.push(x, Math.max(1, used * 24));
    if (late > 0) lag.push(x, lagHeight(loop, late, 20));
  }
  context.fillStyle = colours.dots;
  for (const x of dots) context.fillRect(x, y + 4, 1, 26);
  context.fillStyle = colours.run;
  for (let i = 0; i < run.length; i += 2) context.fillRect(run[i], middle - run[i + 1], 1, run[i + 1]);
  context.fillStyle = colours.lag;
  for (let i = 0; i < lag.length; i += 2) context.fillRect(lag[i], bottom - lag[i + 1], 1, lag[i + 1]);
  app.stats.items += (run.length + lag.length) / 2 + dots.length;
  context.fillStyle = colours.line;
  context.fillRect(0, middle, width, 1);
  context.fillRect(0, y + STRIP - 1, width, 1);
}

/** The whole run in one line, with a frame around what is in sight. */
function paintMap() {
  const [context, width, height] = fitCanvas(byId("map"));
  if (!width) return;
  const key = [width, height, colours.paper, devicePixelRatio].join();
  if (app.mapKey !== key) {
    app.mapKey = key;
    app.mapImage = drawMap(width, height);
  }
  context.clearRect(0, 0, width, height);
  context.drawImage(app.mapImage, 0, 0, width, height);
  const [first, last] = whole(), scale = width / (last - first);
  const a = (app.view.begin - first) * scale, b = Math.max(a + 3, (app.view.end - first) * scale);
  context.globalAlpha = 0.6;
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, a, height);
  context.fillRect(b, 0, width - b, height);
  context.globalAlpha = 1;
  context.strokeStyle = colours.select === "" ? colours.ink : colours.soft;
  context.lineWidth = 1;
  context.strokeRect(a + 0.5, 0.5, b - a - 1, height - 1);
}

function drawMap(width, height) {
  const scale = devicePixelRatio || 1, canvas = document.createElement("canvas");
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const [first, last] = whole(), step = (last - first) / width, high = height / app.model.loops.length;
  app.model.loops.forEach((loop, index) => {
    const bottom = high * (index + 1) - 1;
    context.fillStyle = colours.run;
    context.globalAlpha = 0.55;
    for (let x = 0; x < width; x++) {
      const [used] = utilisation(loop, first + x * step, first + (x + 1) * step);
      if (used > 0) context.fillRect(x, bottom - used * (high - 7), 1, used * (high - 7));
    }
    context.globalAlpha = 1;
    context.fillStyle = colours.held;
    for (const stall of loop.stalls.slice(0, 2000)) context.fillRect((stall.begin - first) / step, bottom - high + 2, Math.max(1.5, (stall.end - stall.begin) / step), 3);
  });
  return canvas;
}
