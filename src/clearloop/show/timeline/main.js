// Puts it together once the columns are there.

function paintLegend() {
  const swatches = [["run", "runs"], ["wait", "awaits"], ["held", "could have run, but the loop was held"], ["ready", "ready for a moment"], ["job", "job in a worker"], ["unknown", "not recorded"]];
  byId("legend").replaceChildren(
    ...swatches.map(([name, text]) => element("li", {}, element("i", { class: `swatch ${name}`, "aria-hidden": "true" }), text)),
    element("li", {}, element("i", { class: "swatch arrow", "aria-hidden": "true" }), "points to the step that held it"),
  );
}

/** What the records do not tell, said where nobody can miss it. */
function paintNotes() {
  const { model } = app, notes = [...model.problems];
  for (const loop of model.loops) {
    const name = model.loops.length > 1 ? `Loop ${loop.number}: ` : "";
    if (loop.overwritten) notes.push(`${name}${many(loop.overwritten, "earlier record")} of ${grouped(loop.written)} ${loop.overwritten === 1 ? "was" : "were"} overwritten: the timeline begins at ${clock(loop.begin)}.`);
    const { begin, end, steps } = loop.gaps;
    if (!begin.length) continue;
    let time = 0, missed = 0;
    for (let i = 0; i < begin.length; i++) {
      time += end[i] - begin[i];
      missed += Math.max(0, steps[i]);
    }
    notes.push(`${name}${many(missed, "step")} in ${many(begin.length, "stretch", "stretches")} (${duration(time)}) were not recorded, to keep the cost low; the lanes are dotted there.`);
  }
  const home = byId("notes");
  home.hidden = !notes.length;
  const most = 4;
  home.replaceChildren(...notes.slice(0, most).map((note) => element("p", {}, note)), ...(notes.length > most ? [element("p", {}, `and ${grouped(notes.length - most)} more remarks`)] : []));
}

function paintHead() {
  const { head, wall, duration: lasted, loops } = app.model;
  const records = loops.reduce((sum, loop) => sum + loop.written - loop.overwritten, 0), tasks = loops.reduce((sum, loop) => sum + loop.tasks.id.length, 0);
  byId("program").textContent = head.program ? baseName(head.program) : "timeline";
  byId("program").title = head.program;
  const when = wall ? new Date(wall / 1e6).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";
  byId("facts").textContent = [duration(lasted), many(tasks, "task"), loops.length > 1 && many(loops.length, "loop"), many(records, "record"), head.pid && `pid ${head.pid}`, head.python && `Python ${head.python.split(" ")[0]}`, when].filter(Boolean).join(" · ");
}

async function start() {
  const model = await readModel();
  app.model = model;
  for (const loop of model.loops) prepare(loop);
  for (const node of document.querySelectorAll(".timeline, .below, #grip")) node.hidden = false;
  byId("loading").remove();
  app.grouped = model.loops.some((loop) => loop.tasks.id.length > GROUP_FROM);
  byId("group").setAttribute("aria-pressed", String(app.grouped));
  if (model.loops.reduce((sum, loop) => sum + loop.tasks.id.length, 0) > 40) document.documentElement.style.setProperty("--below", "27vh");
  readColours();
  paintHead();
  paintNotes();
  paintLegend();
  app.view = Object.fromEntries(whole().map((at, i) => [["begin", "end"][i], at]));
  prepareTables();
  byId("details").replaceChildren(...hint());
  rebuild();
  listen();
  listenToSearch();
  for (const [id, action] of [["in", () => zoom(1 / 1.5, focusMoment())], ["out", () => zoom(1.5, focusMoment())], ["whole", () => goTo(...whole())], ["group", toggleGroups], ["keys", toggleHelp], ["theme", switchTheme]]) byId(id).addEventListener("click", action);
  byId("size").addEventListener("input", (event) => {
    const wanted = Number(event.target.value);
    app.wantedSize = wanted ? Math.max(3, wanted) : 0;
    rebuild();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    app.mapKey = "";
    refresh();
  });
  document.documentElement.dataset.state = "ready";
}

start().catch((error) => {
  document.documentElement.dataset.state = "failed";
  const loading = byId("loading");
  if (loading) loading.textContent = `The timeline cannot be read: ${error.message}`;
  throw error;
});

globalThis.clearloopTimeline = { app, zoom, pan, goTo, whole, setView, frame }; // for the console, and for tests
