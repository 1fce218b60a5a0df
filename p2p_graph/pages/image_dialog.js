"use strict";

const MOST_ZOOM = 32;

/** A dialog that shows one image of a table at integer zoom; arrow keys lead to the others. */
class ImageDialog {
  #rows;
  #overOf;
  #link = null;
  #zoom = 1;
  #image = make("img");
  #comparison;
  #title = make("h2", { id: "enlarged-title" });
  #size = make("p", { className: "note", role: "status" });
  #scroller;
  #dialog;

  /**
   * @param rows gives the rows that are shown, in their order; images are links in their cells.
   * @param overOf gives what lies over a link's image, as { source, title }, or null.
   */
  constructor(rows, overOf) {
    this.#rows = rows;
    this.#overOf = overOf;
    this.#scroller = make("div", {
      className: "scroller", tabIndex: 0, role: "group", "aria-label": "Image",
    });
    const inner = make("div", {}, this.#image);
    this.#scroller.append(inner);
    this.#comparison = new Comparison(this.#image);
    const button = (text, label, act) => {
      const made = make("button", { type: "button", title: label, "aria-label": label }, text);
      made.addEventListener("click", act);
      return made;
    };
    this.#dialog = make(
      "dialog",
      { className: "enlarged", "aria-labelledby": "enlarged-title" },
      this.#title,
      make(
        "div",
        { className: "controls" },
        button("←", "Previous image", () => this.#step(-1)),
        button("→", "Next image", () => this.#step(1)),
        button("↑", "Previous row", () => this.#stepRow(-1)),
        button("↓", "Next row", () => this.#stepRow(1)),
        button("−", "Zoom out", () => this.#setZoom(this.#zoom - 1)),
        button("+", "Zoom in", () => this.#setZoom(this.#zoom + 1)),
        button("Close", "Close", () => this.#dialog.close()),
      ),
      this.#scroller,
      this.#size,
    );
    this.#dialog.setAttribute("closedby", "any");
    this.#dialog.addEventListener("keydown", (event) => this.#onKey(event));
    this.#dialog.addEventListener("close", () => {
      this.#link.scrollIntoView({ block: "nearest" });
      this.#link.focus();
    });
    this.#image.addEventListener("load", () => this.#fit());
    document.querySelector("main").append(this.#dialog);
  }

  /** Opens the dialog with a link's image. */
  open(link) {
    this.#comparison.share = 0;
    this.#dialog.showModal();
    this.#show(link);
  }

  /** Takes what lies over the image anew, if the dialog is open. */
  refresh() {
    if (this.#dialog.open) this.#show(this.#link);
  }

  #show(link) {
    this.#link = link;
    const image = link.querySelector("img");
    const over = this.#overOf(link);
    this.#image.src = link.href;
    this.#image.alt = image.alt;
    this.#title.textContent = image.alt;
    this.#comparison.setOver(over && over.source, over && over.title, image.alt);
    if (this.#image.complete) this.#fit();
  }

  /** Takes the largest integer zoom at which the image fits, 1 at least. */
  #fit() {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    if (!width) return;
    const rest = 16 * 17; // of the height: the dialog's other parts
    const fits = Math.min((innerWidth - 64) / width, (innerHeight - rest) / height);
    this.#setZoom(Math.floor(fits));
  }

  #setZoom(zoom) {
    this.#zoom = Math.max(1, Math.min(MOST_ZOOM, zoom));
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    this.#image.style.width = `${width * this.#zoom}px`;
    this.#image.style.height = `${height * this.#zoom}px`;
    this.#size.textContent = `${width} × ${height} pixels, zoom ${this.#zoom}`;
  }

  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const isSlider = event.target.type === "range";
    const actions = {
      "+": () => this.#setZoom(this.#zoom + 1),
      "=": () => this.#setZoom(this.#zoom + 1),
      "-": () => this.#setZoom(this.#zoom - 1),
    };
    if (!isSlider) {
      actions.ArrowLeft = () => this.#step(-1);
      actions.ArrowRight = () => this.#step(1);
      actions.ArrowUp = () => this.#stepRow(-1);
      actions.ArrowDown = () => this.#stepRow(1);
    }
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  /** Goes to the next image of the row, behind the last one to the next row. */
  #step(by) {
    const links = [...this.#link.closest("tr").querySelectorAll("a")];
    const place = links.indexOf(this.#link) + by;
    if (links[place]) {
      this.#show(links[place]);
      return;
    }
    const next = [...this.#row(by).querySelectorAll("a")];
    this.#show(next.at(by < 0 ? -1 : 0));
  }

  /** Goes to the same column of the next row. */
  #stepRow(by) {
    const column = this.#link.closest("td").cellIndex;
    const row = this.#row(by);
    this.#show(row.cells[column].querySelector("a") ?? row.querySelector("a"));
  }

  #row(by) {
    const rows = this.#rows();
    const place = rows.indexOf(this.#link.closest("tr")) + by;
    return rows[(place + rows.length) % rows.length];
  }
}
