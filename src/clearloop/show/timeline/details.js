// What is known about one span or lane, in words: beside the pointer briefly, below the chart in full.

function select(one, { reveal: bring = true } = {}) {
  app.span = one;
  app.hover = null;
  if (!one) {
    byId("details").replaceChildren(...hint());
    return refresh();
  }
  const { loop, table, span } = one;
  if (table === loop.spans) {
    const index = bring ? reveal(loop, table.lane[span]) : rowOf(loop, table.lane[span]);
    if (index >= 0) {
      app.row = index;
      if (bring) scrollToRow(index);
    }
    say(`${laneName(loop, table.lane[span])} ${spanText(loop, span)}`);
  } else {
    app.row = workerRow(loop, table.lane[span]);
    say(jobText(loop, span));
  }
  showSpanDetails(one);
  refresh();
}

function jumpTo(loop, span) {
  select({ loop, table: loop.spans, span });
  goToSpan(loop.spans.begin[span], loop.spans.end[span]);
}

function link(text, action) {
  return element("button", { class: "link", onclick: action }, text);
}

function spanLink(loop, span) {
  const lane = loop.spans.lane[span];
  return link(lane < 0 ? app.model.strings[loop.spans.label[span]] || "a callback" : laneName(loop, lane), () => jumpTo(loop, span));
}

function facts(...pairs) {
  return element("dl", {}, pairs.filter((pair) => pair && pair[1] !== "" && pair[1] !== null && pair[1] !== undefined).map(([name, ...value]) => [element("dt", {}, name), element("dd", {}, ...value)]));
}

/** A place: function, file and line, and the line itself. */
function placeBlock(place) {
  if (place < 0) return null;
  const { model } = app, [file, line, name, source] = model.places[place];
  const path = model.strings[file];
  return element(
    "figure",
    { class: "code" },
    element("figcaption", { title: path }, element("span", { class: "file" }, `${path}${line ? `:${line}` : ""}`), model.strings[name] ? element("span", { class: "function" }, ` in ${model.strings[name]}`) : null),
    model.strings[source] ? element("pre", {}, element("code", {}, model.strings[source])) : null,
  );
}

function jobText(loop, span) {
  const job = loop.work.job[span], lane = loop.jobs.task[job];
  return `${app.model.strings[loop.jobs.function[job]] || "job"} ran ${duration(loop.work.end[span] - loop.work.begin[span])} in ${loop.workers[loop.work.lane[span]][1] || "a worker"}${lane >= 0 ? ` for ${laneName(loop, lane)}` : ""}`;
}

function showSpanDetails(one) {
  byId("details").replaceChildren(...(one.table === one.loop.work ? jobDetails(one) : spanDetails(one)).filter(Boolean));
}

function headline(kind, title, lasted) {
  return element("header", {}, element("h2", {}, element("i", { class: `swatch ${kind}`, "aria-hidden": "true" }), title), element("span", { class: "lasted" }, lasted));
}

function jobDetails({ loop, span }) {
  const { jobs } = loop, job = loop.work.job[span], lane = jobs.task[job];
  const first = lane >= 0 ? loop.range(lane)[0] : -1;
  return [
    headline("job", app.model.strings[jobs.function[job]] || "job", duration(loop.work.end[span] - loop.work.begin[span])),
    facts(
      ["Worker", loop.workers[loop.work.lane[span]][1] || String(loop.workers[loop.work.lane[span]][0])],
      ["Executor", app.model.strings[jobs.executor?.[job] ?? 0]],
      lane >= 0 && ["Sent by", first < loop.range(lane)[1] ? link(laneName(loop, lane), () => jumpTo(loop, first)) : laneName(loop, lane)],
      ["Began", `at ${clock(loop.work.begin[span])}`],
      jobs.submitted[job] >= 0 && ["Queued for", duration(loop.work.begin[span] - jobs.submitted[job])],
      ["Outcome", JOB_OUTCOMES[jobs.outcome[job]]],
    ),
  ];
}

/** A stall that was not one step: a turn of many, or one whose steps are not on record. */
function stallDetails(loop, stall) {
  const { report, begin, end } = stall, { spans } = loop, steps = Number(report.steps), waited = loop.waitedFor(stall);
  return [
    headline("run", `Stall: ${stall.verdict}`, duration(end - begin)),
    placeBlock(stall.place),
    facts(
      ["Code", report.code && element("code", {}, String(report.code))],
      steps > 1 && ["Steps", `${grouped(steps)}, one after the other in one turn of the loop`],
      ["Instead", report.advice],
      ["Note", report.note],
      ["Began", `at ${clock(begin)}`],
      stall.span >= 0 && ["Longest step", spanLink(loop, stall.span)],
    ),
    waited.length
      ? element("div", { class: "people" }, element("h3", {}, `${many(waited.length, "task")} waited`), peopleList(waited, (span) => [spanLink(loop, span), ` ${duration(Math.min(spans.end[span], end) - Math.max(spans.begin[span], begin))}`]))
      : Array.isArray(report.delayed) && report.delayed.length && element("div", { class: "people" }, element("h3", {}, `${grouped(Number(report.delayed_count) || report.delayed.length)} waited`), peopleList(report.delayed, (one) => [String(one?.task ?? one?.callback ?? "?"), typeof one?.seconds === "number" ? ` ${duration(one.seconds * 1e9)}` : null])),
  ].filter(Boolean);
}

function spanDetails({ loop, span }) {
  const { spans, tasks } = loop, { strings } = app.model, lane = spans.lane[span], kind = spans.kind[span];
  const label = strings[spans.label[span]], name = laneName(loop, lane);
  const [from, to] = loop.range(lane);
  const next = span + 1 < to ? span + 1 : -1;
  const title = {
    [RUN]: lane < 0 ? `${label || "A callback"} ran` : `${name} ran`,
    [AWAIT]: `${name} awaited ${label || "something"}`,
    [HELD]: `${name} could have run, but the loop was held`,
    [READY]: `${name} was ready, until its turn`,
    [UNKNOWN]: `${name}: not recorded`,
  }[kind];
  const stall = loop.stalls[loop.stallOf.get(span)];
  const holders = kind === HELD ? loop.holdersOf(span).sort((a, b) => b[1] - a[1]) : [];
  const victims = kind === RUN ? loop.victimsOf(span) : [];
  const woke = kind === AWAIT && next >= 0 ? [next, next + 1].find((i) => i < to && spans.kind[i] === RUN) : kind === RUN ? span : undefined;
  const waker = woke === undefined ? -1 : spans.by[woke], wakerLabel = woke === undefined || lane < 0 ? "" : strings[spans.label[woke]];
  return [
    headline(["run", "wait", "held", "ready", "unknown"][kind], title, duration(spans.end[span] - spans.begin[span])),
    stall && element("p", { class: "verdict" }, element("b", {}, stall.verdict), stall.report.advice ? ` · instead: ${stall.report.advice}` : stall.report.note ? ` · ${stall.report.note}` : ""),
    holders.length > 0 && element("div", { class: "people" }, element("h3", {}, "Held by"), peopleList(holders, ([holder, ns]) => [spanLink(loop, holder), ` ${duration(ns)}`, placeText(app.model, spans.place[holder]) && element("span", { class: "file" }, ` ${placeText(app.model, spans.place[holder])} `), element("code", {}, placeCode(app.model, spans.place[holder]))])),
    kind === HELD && !holders.length && spans.by[span] >= 0 && facts(["Held by", spanLink(loop, spans.by[span])]),
    placeBlock(spans.place[span]),
    facts(
      ["Began", `at ${clock(spans.begin[span])}`],
      lane >= 0 && strings[tasks.coro[lane]] && ["Coroutine", element("code", {}, strings[tasks.coro[lane]])],
      lane >= 0 && tasks.parent[lane] >= 0 && ["Created by", laneName(loop, tasks.parent[lane])],
      waker >= 0 && ["Woken by", spanLink(loop, waker), element("span", { class: "file" }, ` ${placeText(app.model, spans.place[waker])}`)],
      waker < 0 && wakerLabel && kind !== HELD && ["Woken by", wakerLabel],
      kind === RUN && next >= 0 && spans.kind[next] === AWAIT && ["Then", link(`awaited ${strings[spans.label[next]] || "something"}`, () => jumpTo(loop, next))],
      kind === RUN && next < 0 && lane >= 0 && ["Then", OUTCOMES[tasks.outcome[lane]]],
    ),
    victims.length > 0 && element("div", { class: "people" }, element("h3", {}, `Held ${many(victims.length, "task")} meanwhile`), peopleList(victims, (victim) => [spanLink(loop, victim), ` ${duration(Math.min(spans.end[victim], spans.end[span]) - Math.max(spans.begin[victim], spans.begin[span]))}`])),
    lane >= 0 && laneFacts(loop, lane),
  ];
}

/** The first of a list, the rest as a number: it stays bounded. */
function peopleList(people, describe, most = 12) {
  return element("ul", {}, people.slice(0, most).map((one) => element("li", {}, ...describe(one).filter(Boolean))), people.length > most ? element("li", { class: "file" }, `and ${grouped(people.length - most)} more`) : null);
}

function laneFacts(loop, lane) {
  const { tasks } = loop;
  return facts(
    ["In all", `ran ${duration(tasks.busy[lane])} in ${many(tasks.steps[lane], "step")}, awaited ${duration(tasks.waiting[lane])}, held ${duration(tasks.held[lane])}`],
    tasks.created[lane] >= 0 && ["Lived", `from ${clock(tasks.created[lane])}${tasks.ended[lane] >= 0 ? ` to ${clock(tasks.ended[lane])}, ${OUTCOMES[tasks.outcome[lane]]}` : `, ${OUTCOMES[tasks.outcome[lane]]}`}`],
  );
}

function showRowDetails(row) {
  if (app.span) return;
  const { loop, lane } = row;
  if (row.type === "task")
    byId("details").replaceChildren(...[headline("run", laneName(loop, lane), ""), facts(["Coroutine", element("code", {}, app.model.strings[loop.tasks.coro[lane]])]), laneFacts(loop, lane), placeBlock(loop.tasks.place?.[lane] ?? -1)].filter(Boolean));
  else if (row.type === "group") byId("details").replaceChildren(headline("run", groupName(row.group), many(row.group.lanes.length, "task")), element("p", {}, "Above: what share of these tasks was held. Below: how busy they kept the loop."), facts(["In all", `ran ${duration(row.group.busy)}, awaited ${duration(row.group.waiting)}, held ${duration(row.group.held)}`]));
}

function hint() {
  const { loops } = app.model, stalls = loops.reduce((sum, loop) => sum + loop.stalls.length, 0), held = loops.reduce((sum, loop) => sum + loop.heldSpans, 0);
  return [
    element("p", { class: "verdict" }, element("b", {}, stalls || held ? `${many(stalls, "stall")}` : "Nothing held the loop"), stalls || held ? `: ${many(held, "time")} a task could have run, and had to wait for another one's step.` : ": every task ran when it could."),
    element("p", { class: "soft" }, "Point at a lane, or click, to see what ran there, on which line, and who waited for whom."),
  ];
}

// ---- beside the pointer

function showTip(one, x, y) {
  const tip = byId("tip");
  if (!one) {
    tip.hidden = true;
    return;
  }
  const { loop, table, span } = one;
  if (table === loop.work) tip.replaceChildren(element("b", {}, app.model.strings[loop.jobs.function[table.job[span]]] || "job"), element("span", {}, jobText(loop, span)));
  else {
    const code = placeCode(app.model, table.place[span]);
    tip.replaceChildren(
      ...[
        element("b", {}, laneName(loop, table.lane[span])),
        element("span", {}, table.kind[span] === RUN || table.kind[span] === AWAIT ? spanText(loop, span).replace(code ? ` ${code}` : "\0", "") : spanText(loop, span)),
        code && table.kind[span] !== HELD ? element("code", {}, code) : null,
        table.kind[span] === RUN && loop.victimsOf(span).length ? element("em", {}, `held ${many(loop.victimsOf(span).length, "task")}`) : null,
      ].filter(Boolean),
    );
  }
  tip.hidden = false;
  const { clientWidth, clientHeight } = byId("stage"), wide = tip.offsetWidth, high = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(clientWidth - wide - 4, x + 14))}px`;
  tip.style.top = `${y + 18 + high > clientHeight ? Math.max(4, y - high - 10) : y + 18}px`;
}
