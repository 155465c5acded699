// Search by the names of tasks and coroutines: only what matches stays, Enter goes to it.

let typed = 0;

function setFilter(text) {
  const search = byId("search");
  if (search.value !== text) search.value = text;
  app.filter = text.trim();
  rebuild();
  byId("found").textContent = app.filter ? many(app.matches, "task") : "";
  if (app.row < 0) byId("scroller").scrollTop = 0;
}

function listenToSearch() {
  const search = byId("search");
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => setFilter(search.value), 60);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    if (app.filter !== search.value.trim()) setFilter(search.value);
    const tasks = app.rows.flatMap((row, index) => (row.type === "task" ? [index] : []));
    if (!tasks.length) return;
    const next = tasks.find((index) => index > app.row) ?? tasks[0];
    app.span = null;
    selectRow(next);
    const row = app.rows[next];
    const [from, to] = row.loop.range(row.lane);
    if (from < to && (row.loop.spans.begin[from] > app.view.end || row.loop.spans.end[to - 1] < app.view.begin)) goTo(...padded(row.loop.spans.begin[from], row.loop.spans.end[to - 1]));
  });
}
