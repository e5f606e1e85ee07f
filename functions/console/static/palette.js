"use strict";

// Finds devices, and does what the page at hand can do, by keyboard alone: Ctrl-K or "/"; "?" tells the keys.
customElements.define("command-palette", class extends HTMLElement {
  connectedCallback() {
    [this.finder, this.keys] = this.querySelectorAll("dialog");
    this.input = this.querySelector("input");
    this.list = this.querySelector("[role=listbox]");
    this.asked = 0;
    this.input.addEventListener("input", () => this.find());
    this.input.addEventListener("keydown", (event) => this.move(event));
    this.list.addEventListener("click", (event) => this.go(event.target.closest("[role=option]")));
    for (const each of [this.finder, this.keys]) each.addEventListener("click", (event) => event.target === each && each.close());
    document.addEventListener("keydown", (event) => this.key(event));
    const button = document.getElementById("open-palette");
    button.hidden = false;
    button.addEventListener("click", () => this.open());
  }

  key(event) {
    const held = event.ctrlKey || event.metaKey;
    const isPalette = held ? event.key.toLowerCase() === "k" : event.key === "/";
    if (!held && event.target.closest("input, select, textarea")) return;
    if (isPalette) this.keys.close();
    if (event.altKey || document.querySelector("dialog[open]")) return;
    if (!isPalette && (held || event.key !== "?")) return;
    event.preventDefault();
    if (isPalette) this.open();
    else this.keys.showModal();
  }

  open() {
    this.input.value = "";
    this.list.replaceChildren();
    this.finder.showModal();
    this.find();
  }

  find() {
    this.found = this.search();
  }

  // Says whether the options are those of what is typed by now.
  async search() {
    const text = this.input.value.trim();
    const asked = ++this.asked;
    const url = `${this.getAttribute("src")}?q=${encodeURIComponent(text)}`;
    const answer = text ? await fetch(url, {headers: {"HX-Request": "true"}}).catch(() => null) : null;
    if (asked !== this.asked) return false;
    const elsewhere = answer?.headers.get("HX-Redirect");
    if (elsewhere) return location.assign(elsewhere);
    this.list.innerHTML = answer?.ok ? await answer.text() : "";
    this.list.append(...this.actions(text.toLowerCase().split(/\s+/)));
    this.options = [...this.list.querySelectorAll("[role=option]")];
    this.options.forEach((each, number) => { each.id = `palette-${number}`; });
    this.querySelector("[role=status]").hidden = this.options.length > 0;
    this.choose(0);
    return true;
  }

  // What has a name and can be pressed on this page, as far as it has each word.
  actions(words) {
    const found = new Map();
    for (const each of document.querySelectorAll(".menu a, main :is(a.button, button, .more a), .who :is(a, button)")) {
      const name = (each.ariaLabel ?? each.textContent).trim().replace(/\s+/g, " ");
      if (name && each.id !== "open-palette" && words.every((word) => name.toLowerCase().includes(word))) found.set(name, each);
    }
    return [...found].slice(0, 8).map(([name, target]) => {
      const option = Object.assign(document.createElement("li"), {role: "option", target});
      const what = Object.assign(document.createElement("span"), {className: "faint", textContent: this.getAttribute("action")});
      option.append(name, " ", what);
      return option;
    });
  }

  choose(number) {
    this.at = this.options.length ? (number + this.options.length) % this.options.length : 0;
    this.options.forEach((each, place) => each.setAttribute("aria-selected", place === this.at));
    this.input.setAttribute("aria-activedescendant", this.options[this.at]?.id ?? "");
    this.options[this.at]?.scrollIntoView({block: "nearest"});
  }

  move(event) {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step) this.choose(this.at + step);
    // Whoever types fast means what they typed, not what was listed before it.
    else if (event.key === "Enter") this.found.then((isNew) => isNew && this.finder.open && this.go(this.options[this.at]));
    else return;
    event.preventDefault();
  }

  go(option) {
    if (!option) return;
    this.finder.close();
    if (option.dataset.href) location.assign(option.dataset.href);
    else option.target.click();
  }
});
