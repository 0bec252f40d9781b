// The panels that share a place: two groups side by side on a desktop, one of
// four on a phone. Arrow keys move between tabs, as in the ARIA pattern.

const PHONE = '(max-width: 56.1875em)';
const ORDER = ['sky', 'charts', 'nmea', 'link']; // on a phone
const GROUPS = [['sky', 'link'], ['charts', 'nmea']];

export class Tabs {
  // changed(name, shown) is called for every panel that appears or disappears.
  constructor($, changed) {
    Object.assign(this, { $, changed });
    this.shown = new Set();
    this.phone = matchMedia(PHONE);
    this.phone.addEventListener('change', () => this.arrange());
    for (const list of [$('tabs-side'), $('tabs-dock')]) {
      list.addEventListener('click', (e) => e.target.closest('[role=tab]') && this.select(nameOf(e.target.closest('[role=tab]'))));
      list.addEventListener('keydown', (e) => this.key(e, list));
    }
    this.arrange();
  }

  groups() { return this.phone.matches ? [ORDER] : GROUPS; }

  // arrange moves the tabs to where their group is.
  arrange() {
    const [side, dock] = [this.$('tabs-side'), this.$('tabs-dock')];
    this.groups().forEach((group, i) => (i ? dock : side).append(...group.map((n) => this.$(`tab-${n}`))));
    dock.hidden = this.phone.matches;
    for (const group of this.groups()) this.select(group.find((n) => this.shown.has(n)) ?? group[0]);
  }

  select(name) {
    const group = this.groups().find((g) => g.includes(name));
    for (const n of group) {
      const on = n === name, tab = this.$(`tab-${n}`), was = this.shown.has(n);
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
      this.$(`panel-${n}`).hidden = !on;
      if (on) this.shown.add(n); else this.shown.delete(n);
      if (on !== was) this.changed(n, on);
    }
    // On a phone only one of the two cards has something to show.
    this.$('tabs-dock').parentElement.classList.toggle('empty-card', !GROUPS[1].some((n) => this.shown.has(n)));
  }

  key(e, list) {
    const tabs = [...list.children].filter((t) => t.offsetParent), at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
    if (to === undefined || at < 0) return;
    e.preventDefault();
    e.stopPropagation();
    const tab = tabs[(to + tabs.length) % tabs.length];
    this.select(nameOf(tab));
    tab.focus();
  }
}

const nameOf = (tab) => tab.id.replace('tab-', '');
