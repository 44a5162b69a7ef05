// Elements of the page. Text is always set as text: names of models come from anywhere.

export type Child = HTMLElement | string;

export function element(tag: string, className = "", ...children: Child[]): HTMLElement {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export interface Column<T> {
  name: string;
  text: (row: T) => string;
  /** What it is sorted by; numbers are set to the right. */
  value?: (row: T) => number | null;
}

export function table<T>(rows: readonly T[], columns: readonly Column<T>[]): HTMLElement {
  const body = element("tbody");
  const fill = (sorted: readonly T[]) => {
    body.replaceChildren(
      ...sorted.map((row) =>
        element("tr", "", ...columns.map((column) => element("td", column.value ? "number" : "", column.text(row)))),
      ),
    );
  };
  let by: Column<T> | undefined;
  let down = true;
  const heads = columns.map((column) => {
    const button = element("button", "", column.name);
    const head = element("th", column.value ? "number" : "", button);
    button.addEventListener("click", () => {
      down = by === column ? !down : Boolean(column.value);
      by = column;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      fill([...rows].sort((a, b) => compare(column, a, b) * (down ? -1 : 1)));
    });
    return head;
  });
  fill(rows);
  return element("div", "scroll", element("table", "", element("thead", "", element("tr", "", ...heads)), body));
}

export function figures<T>(rows: readonly T[], columns: readonly Column<T>[]): HTMLElement {
  return element("details", "", element("summary", "", "Figures"), table(rows, columns));
}

export function section(id: string, title: string, lead: string, ...children: Child[]): HTMLElement {
  const node = element("section", "", element("h2", "", title), element("p", "lead", lead), ...children);
  node.id = id;
  return node;
}

function compare<T>(column: Column<T>, a: T, b: T): number {
  if (!column.value) return column.text(a).localeCompare(column.text(b));
  return (column.value(a) ?? -Infinity) - (column.value(b) ?? -Infinity);
}
