"use strict";

// How long ago a time was, from second to second; the exact time stays as the element's title.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const AGES = new Set();
setInterval(() => AGES.forEach((each) => each.tell()), 1000);

customElements.define("age-of", class extends HTMLElement {
  connectedCallback() {
    AGES.add(this);
    this.tell();
  }

  disconnectedCallback() {
    AGES.delete(this);
  }

  tell() {
    const time = this.querySelector("time");
    if (!time) return;
    const seconds = Math.round((Date.now() - Date.parse(time.dateTime)) / 1000);
    const ahead = seconds < 0;
    const [size, name] = UNITS.find(([size]) => Math.abs(seconds) >= size) ?? [1, "s"];
    const text = `${Math.floor(Math.abs(seconds) / size)} ${name}`;
    const told = ahead ? `in ${text}` : `${text} ago`;
    if (time.textContent !== told) time.textContent = told;
  }
});

// A text to take away: with a button where the browser allows it.
customElements.define("copy-text", class extends HTMLElement {
  connectedCallback() {
    if (!navigator.clipboard || this.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = this.getAttribute("label");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.querySelector("code").textContent);
      button.textContent = this.getAttribute("done");
    });
    this.append(button);
  }
});

// A page that nobody looks at asks for nothing.
document.addEventListener("htmx:beforeRequest", (event) => {
  const {elt} = event.detail;
  if (document.hidden && (elt.getAttribute("hx-trigger") ?? "").startsWith("every")) event.preventDefault();
});

// A form that goes to another page is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((each) => delete each.dataset.sent));

// The page has no place for a value that its device did not have before: the part tells that the page is old.
document.addEventListener("htmx:beforeSwap", ({detail}) => {
  if (detail.target.id !== "live") return;
  const part = new DOMParser().parseFromString(detail.serverResponse, "text/html");
  const isStranger = ({id}) => !document.getElementById(id);
  [...part.querySelectorAll(".value[hx-swap-oob]")].filter(isStranger).forEach((each) => each.remove());
  detail.serverResponse = part.body.innerHTML;
});
