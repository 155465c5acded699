// Many tasks in one lane: how busy they kept the loop, and what share of them was held, over time.
//
// A task's spans are spread over equal bins by differences (two stores per span, however many bins it covers), so a whole
// run of a million spans takes some milliseconds, once. Zoomed in, the stretch in sight and as much on both sides is done
// anew when the view rests; until then the coarser bins are drawn.

const BINS = 3072;

/** Fills bins over [from, to): run, held and alive, each as ns per bin. */
function density(group, from, to) {
  const { spans } = group.loop, { begin, end, kind } = spans;
  const width = (to - from) / BINS;
  const made = { from, to, width, run: new Float64Array(BINS + 2), held: new Float64Array(BINS + 2), alive: new Float64Array(BINS + 2) };
  const slopes = { run: new Float64Array(BINS + 2), held: new Float64Array(BINS + 2), alive: new Float64Array(BINS + 2) };
  const add = (name, a, b) => {
    const at = Math.max(0, (a - from) / width), until = Math.min(BINS, (b - from) / width);
    const first = Math.floor(at), last = Math.floor(until);
    const sum = made[name], slope = slopes[name];
    if (first === last) sum[first] += until - at;
    else {
      sum[first] += first + 1 - at;
      sum[last] += until - last;
      slope[first + 1] += 1;
      slope[last] -= 1;
    }
  };
  let work = 0;
  for (const lane of group.lanes) {
    const [a, b] = group.loop.range(lane);
    if (a === b) continue;
    const i = upperBound(end, from, a, b), j = lowerBound(begin, to, i, b);
    if (i === j) continue;
    add("alive", Math.max(from, begin[i]), Math.min(to, end[j - 1]));
    for (let k = i; k < j; k++) {
      if (kind[k] === RUN) add("run", begin[k], end[k]);
      else if (kind[k] === HELD) add("held", begin[k], end[k]);
    }
    work += j - i;
  }
  made.most = 1;
  for (const name of ["run", "held", "alive"]) {
    const sum = made[name], slope = slopes[name];
    for (let bin = 0, full = 0; bin < BINS; bin++) {
      full += slope[bin];
      sum[bin] += full; // in tasks: mean number at a time
    }
  }
  for (let bin = 0; bin < BINS; bin++) made.most = Math.max(made.most, made.alive[bin]);
  made.work = work;
  return made;
}

let refining = 0;

/** The bins to draw a group with now; finer ones come when the view rests. */
function densityFor(group) {
  const { begin, end } = app.view, [first, last] = whole();
  group.coarse ??= density(group, first, last);
  const fine = group.fine;
  const fits = fine && fine.from <= begin && fine.to >= end && fine.width * 1200 <= (end - begin) * 4;
  if (group.coarse.width * 900 <= end - begin) return group.coarse;
  if (!fits) {
    clearTimeout(refining);
    refining = setTimeout(() => {
      const width = app.view.end - app.view.begin;
      for (const row of inSight()) if (row.type === "group") row.group.fine = density(row.group, app.view.begin - width / 2, app.view.end + width / 2);
      repaint();
    }, 60);
  }
  return fits || (fine && fine.from <= begin && fine.to >= end && fine.width < group.coarse.width) ? fine : group.coarse;
}
