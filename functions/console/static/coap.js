"use strict";

// The CoAP messages of a device while they pass: from when its section is opened until it is closed. A stream ends
// before the gateway ends it; the next one is opened before that, and what both have told is shown once.
const MOST = 500;

customElements.define("coap-log", class extends HTMLElement {
  connectedCallback() {
    this.rows = this.querySelector("tbody");
    this.state = this.querySelector("[role=status]");
    this.section = this.closest("details");
    this.toggled = () => this.section.open ? this.follow() : this.end();
    this.section.addEventListener("toggle", this.toggled);
    if (this.section.open) this.follow();
  }

  disconnectedCallback() {
    this.section.removeEventListener("toggle", this.toggled);
    this.end();
  }

  end() {
    this.source?.close();
    this.next?.close();
    this.source = this.next = null;
    this.dataset.state = "";
  }

  follow() {
    this.end();
    this.told = [];
    this.source = this.open();
  }

  open() {
    const source = new EventSource(this.getAttribute("src"));
    source.addEventListener("open", () => {
      this.say("following");
      if (source !== this.next) return;
      this.source.close();
      [this.source, this.next] = [source, null];
    });
    source.addEventListener("message", (event) => this.tell(event.data));
    source.addEventListener("turn", () => { this.next ??= this.open(); });
    source.addEventListener("error", () => {
      if (source === this.next) {
        source.close();
        this.next = null;
      } else {
        this.say(source.readyState === EventSource.CLOSED ? "failed" : "again");
      }
    });
    return source;
  }

  say(state) {
    this.dataset.state = state;
    this.state.textContent = this.getAttribute(state);
  }

  tell(text) {
    if (this.told.includes(text)) return;
    this.told = [text, ...this.told].slice(0, MOST);
    const {timestamp, incoming, type, code, mId, token, options, payload} = JSON.parse(text);
    const time = new Date(timestamp).toISOString().slice(11, 23);
    const row = this.rows.insertRow(0);
    const what = `${type} ${code ?? this.getAttribute("empty")}`;
    for (const each of [time, this.getAttribute(incoming ? "received" : "sent"), what, `${mId} ${token}`, [options, payload].filter(Boolean).join("\n")]) {
      row.insertCell().textContent = each;
    }
    row.lastChild.className = "message";
    while (this.rows.rows.length > MOST) this.rows.deleteRow(-1);
  }
});
