// What is asked again and again, prepared once for each loop: which spans are a lane's, sums of the time that it ran and
// was held (so that a pixel that covers a thousand spans costs two look-ups), and who held whom.

/** First index in [from, to) whose value is not below `value`. */
function lowerBound(column, value, from, to) {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (column[middle] < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** First index in [from, to) whose value is above `value`. */
function upperBound(column, value, from, to) {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (column[middle] <= value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** The same as lowerBound, cheap when the answer is near `from`. */
function gallop(column, value, from, to) {
  let step = 1, low = from;
  while (low + step < to && column[low + step] < value) {
    low += step;
    step *= 2;
  }
  return lowerBound(column, value, low, Math.min(to, low + step + 1));
}

/** sums[kind][i]: time in spans of that kind before span i. */
function timeSums({ kind, begin, end }, kinds) {
  const sums = kinds.map(() => new Float64Array(begin.length + 1));
  kinds.forEach((wanted, which) => {
    const sum = sums[which];
    for (let i = 0; i < begin.length; i++) sum[i + 1] = sum[i] + (kind[i] === wanted ? end[i] - begin[i] : 0);
  });
  return sums;
}

/** Time in [from, to) that sorted, disjoint stretches cover. */
function covered(table, from, to) {
  const { begin, end, sums } = table;
  const a = upperBound(end, from, 0, end.length), b = lowerBound(begin, to, a, begin.length);
  if (a >= b) return 0;
  return sums[b] - sums[a] - Math.max(0, from - begin[a]) - Math.max(0, end[b - 1] - to);
}

function prepare(loop) {
  const { spans, tasks, first } = loop;
  const count = tasks.id.length;

  /** The spans of a lane: of a task, or with -1 of the callbacks. */
  loop.range = (lane) => (lane < 0 ? [first[count] ?? 0, first[count + 1] ?? first[count] ?? 0] : [first[lane], first[lane + 1]]);

  spans.lane = new Int32Array(spans.kind.length).fill(-1);
  for (let lane = 0; lane < count; lane++) spans.lane.fill(lane, first[lane], first[lane + 1]);
  const [run, held] = timeSums(spans, [RUN, HELD]);
  loop.sums = spans.sums = { run, held };
  for (const table of [loop.waits, loop.runs, loop.gaps]) {
    table.sums = new Float64Array(table.begin.length + 1);
    for (let i = 0; i < table.begin.length; i++) table.sums[i + 1] = table.sums[i] + table.end[i] - table.begin[i];
  }

  // Steps that held somebody, by their begin. One loop runs one step at a time, so they do not overlap.
  const holding = new Set();
  let heldSpans = 0;
  for (let i = 0; i < spans.kind.length; i++) {
    if (spans.kind[i] !== HELD) continue;
    heldSpans++;
    if (spans.by[i] >= 0) holding.add(spans.by[i]);
  }
  for (const stall of loop.stalls) if (stall.span >= 0) holding.add(stall.span);
  loop.heldSpans = heldSpans;
  const long = [];
  for (let i = 0; i < spans.kind.length; i++)
    if (spans.kind[i] === RUN && spans.end[i] - spans.begin[i] >= MS) long.push(i);
  long.sort((a, b) => spans.begin[a] - spans.begin[b]);
  loop.long = { span: Int32Array.from(long), begin: Float64Array.from(long, (i) => spans.begin[i]), end: Float64Array.from(long, (i) => spans.end[i]) };
  loop.holding = holding;
  loop.stallOf = new Map(loop.stalls.map((stall, i) => [stall.span, i]));

  /** Long steps that lie in a held span: [span, ns of overlap]. */
  loop.holdersOf = (span) => {
    const { begin, end } = loop.long, from = spans.begin[span], to = spans.end[span];
    const a = upperBound(end, from, 0, end.length), b = lowerBound(begin, to, a, begin.length);
    const found = [];
    for (let i = a; i < b && found.length < 1000; i++) found.push([loop.long.span[i], Math.min(end[i], to) - Math.max(begin[i], from)]);
    return found;
  };

  /** Spans of who could have run in a stretch, those with the longest overlap first. One look-up per lane. */
  const waitedIn = (from, to, counts) => {
    const found = [], overlap = new Map();
    for (let lane = 0; lane < count && to - from >= MS; lane++) {
      const last = first[lane + 1];
      for (let i = upperBound(spans.end, from, first[lane], last); i < last && spans.begin[i] < to; i++) {
        const common = Math.min(spans.end[i], to) - Math.max(spans.begin[i], from);
        if (counts(spans.kind[i], common)) {
          found.push(i);
          overlap.set(i, common);
        }
      }
    }
    return found.sort((a, b) => overlap.get(b) - overlap.get(a) || a - b);
  };

  /** Held spans that a step lies in; the last answer is kept. */
  loop.victimsOf = (span) => {
    if (loop.victims?.span !== span) loop.victims = { span, found: waitedIn(spans.begin[span], spans.end[span], (kind) => kind === HELD) };
    return loop.victims.found;
  };

  /** Whether one step was the stall, or a turn of many. */
  loop.isOneStep = ({ begin, end, span }) =>
    span >= 0 && 2 * (Math.min(end, spans.end[span]) - Math.max(begin, spans.begin[span])) > end - begin;

  /** Who waited for a stall: of a turn of many steps also those that no single step has held. */
  loop.waitedFor = (stall) =>
    loop.isOneStep(stall) ? loop.victimsOf(stall.span) : waitedIn(stall.begin, stall.end, (kind, common) => (kind === HELD || kind === READY) && common >= MS);

  /** The step that held a lane for the longest in one go, or -1. */
  loop.worstHolder = (lane) => {
    const [from, to] = loop.range(lane);
    let worst = -1, longest = -1;
    loop.worstHeld = -1;
    for (let i = from; i < Math.min(to, from + 5000); i++)
      if (spans.kind[i] === HELD && spans.end[i] - spans.begin[i] > longest && spans.by[i] >= 0) {
        longest = spans.end[i] - spans.begin[i];
        worst = spans.by[i];
        loop.worstHeld = i;
      }
    return worst;
  };

  prepareJobs(loop);
}

/** Jobs that ran, as spans of the workers' lanes: the same shape as the tasks' spans. */
function prepareJobs(loop) {
  const { jobs, workers } = loop;
  const ran = [];
  for (let i = 0; i < jobs.id.length; i++)
    if (jobs.worker[i] >= 0 && jobs.begin[i] >= 0) ran.push(i);
  ran.sort((a, b) => jobs.worker[a] - jobs.worker[b] || jobs.begin[a] - jobs.begin[b]);
  const table = {
    job: Int32Array.from(ran),
    begin: Float64Array.from(ran, (i) => jobs.begin[i]),
    end: Float64Array.from(ran, (i) => (jobs.end[i] >= 0 ? jobs.end[i] : loop.end)),
    kind: new Uint8Array(ran.length).fill(JOB),
    lane: Int32Array.from(ran, (i) => jobs.worker[i]),
  };
  const [run] = timeSums(table, [JOB]);
  table.sums = { run, held: new Float64Array(ran.length + 1) };
  loop.work = table;
  loop.workRange = workers.map((_, worker) => [lowerBound(table.lane, worker, 0, ran.length), lowerBound(table.lane, worker + 1, 0, ran.length)]);
}
