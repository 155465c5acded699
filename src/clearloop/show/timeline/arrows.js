// From each stretch of red an arrow to the step that held it, as long as there are few enough to follow; of what is
// selected or under the pointer always, and to each of the steps that shared in it.

const MOST_ARROWS = 40;

/** Arrows of what is selected or under the pointer: [loop, held span, holder]. */
function chosenArrows() {
  const chosen = [app.hover, app.span].filter((one) => one?.table === one?.loop.spans && one);
  const strong = [];
  for (const { loop, span } of chosen) {
    if (loop.spans.kind[span] === HELD) for (const [holder] of loop.holdersOf(span).slice(0, 30)) strong.push([loop, span, holder]);
    else if (loop.spans.kind[span] === RUN) for (const victim of loop.victimsOf(span).slice(0, app.size < READABLE ? 14 : MOST_ARROWS)) strong.push([loop, victim, span]);
  }
  return strong;
}

/** Those of all red in sight, if they are few enough to follow. */
function otherArrows(chosen) {
  if (heldInSight.length > MOST_ARROWS) return [];
  const known = new Set(chosen.map(([loop, span, holder]) => `${loop.number}:${span}:${holder}`));
  return heldInSight
    .map(({ row: { loop }, span }) => [loop, span, loop.spans.by[span]])
    .filter(([loop, span, holder]) => holder >= 0 && !known.has(`${loop.number}:${span}:${holder}`));
}

/** Where they are drawn: {x, start, tip, up}. Arrows to the same step stand side by side, like the teeth of a comb. */
function arrowLines(arrows, width, height) {
  const combs = new Map(), lines = [];
  for (const arrow of arrows) {
    const key = `${arrow[0].number}:${arrow[2]}`;
    if (!combs.has(key)) combs.set(key, []);
    combs.get(key).push(arrow);
  }
  for (const comb of combs.values())
    comb.forEach(([loop, span, holder], index) => {
      const line = arrowLine(loop, span, holder, (index + 1) / (comb.length + 1), width, height);
      if (line) lines.push(line);
    });
  return lines;
}

function laneMiddle(loop, lane) {
  const index = rowOf(loop, lane);
  if (index < 0) return null;
  const row = app.rows[index];
  return { y: row.top + row.height / 2 - byId("scroller").scrollTop + AXIS, half: row.height / 2 };
}

function arrowLine(loop, span, holder, part, width, height) {
  const { spans } = loop, { view, scale } = app;
  const from = Math.max(spans.begin[span], spans.begin[holder], view.begin), to = Math.min(spans.end[span], spans.end[holder], view.end);
  if (to <= from) return null;
  const a = laneMiddle(loop, spans.lane[span]), b = laneMiddle(loop, spans.lane[holder]);
  if (!a || !b || a.y === b.y) return null;
  const up = b.y < a.y ? -1 : 1, edge = AXIS + STRIP;
  return {
    x: Math.max(4, Math.min(width - 4, (from - view.begin + (to - from) * part) * scale)),
    start: Math.max(edge, Math.min(height, a.y)),
    tip: Math.max(edge + 2, Math.min(height - 2, b.y - up * Math.max(0, b.half - 4))),
    up,
  };
}

function paintLines(context, lines, thick) {
  const head = Math.min(7, Math.max(3.5, app.size / 2.6));
  for (const { x, start, tip, up } of lines)
    for (const [colour, more] of [[colours.paper, 1.6], [colours.ink, 0]]) {
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = thick + more;
      context.beginPath();
      context.moveTo(x, start);
      context.lineTo(x, tip - up * head);
      context.stroke();
      context.beginPath();
      context.arc(x, start, (head + more) / 3, 0, 7);
      context.moveTo(x, tip + (up * more) / 2);
      context.lineTo(x - head / 1.7 - more / 2, tip - up * (head + more / 2));
      context.lineTo(x + head / 1.7 + more / 2, tip - up * (head + more / 2));
      context.fill();
    }
  app.stats.items += lines.length;
}

/** The stretch [from, to] of a lane between the lines that cross it: the first with room for so much, else the widest. */
function freeStretch(lines, y, from, to, wanted) {
  const crossing = lines.filter((line) => Math.min(line.start, line.tip) - 4 <= y && y <= Math.max(line.start, line.tip) + 4 && line.x > from && line.x < to);
  const ends = [from, ...crossing.map((line) => line.x).sort((a, b) => a - b), to];
  let best = [from, from];
  for (let i = 1; i < ends.length; i++) {
    const one = [ends[i - 1] + (i > 1 ? 4 : 0), ends[i] - (i < ends.length - 1 ? 4 : 0)];
    if (one[1] - one[0] >= wanted) return one;
    if (one[1] - one[0] > best[1] - best[0]) best = one;
  }
  return best;
}

/** A frame around the selected span, and a thin one around that under the pointer. */
function paintSelection(context, width) {
  for (const [one, thick] of [[app.hover, 1], [app.span, 2]]) {
    if (!one) continue;
    const index = one.table === one.loop.work ? workerRow(one.loop, one.table.lane[one.span]) : rowOf(one.loop, one.table.lane[one.span]);
    const row = app.rows[index];
    if (!row || row.type === "group") continue;
    const y = row.top - byId("scroller").scrollTop + AXIS;
    const a = Math.max(-3, (one.table.begin[one.span] - app.view.begin) * app.scale);
    const b = Math.min(width + 3, (one.table.end[one.span] - app.view.begin) * app.scale);
    if (b < -2 || a > width + 2) continue;
    context.strokeStyle = colours.ink;
    context.lineWidth = thick;
    context.strokeRect(a, y + 0.5, Math.max(2, b - a), row.height - 1);
  }
}
