/** Of the documentation page; one text, so that the page's policy can name it by its hash. */
export const DOCS_STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #d9dfe7; --paper: #ffffff; --panel: #f5f7fa;
  --link: #0b5fae; --get: #0b6e4f; --post: #0b5fae; --put: #8a5a00; --delete: #a8322a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa6b6; --line: #2d3643; --paper: #12171e;
  --panel: #1a212b; --link: #7db8f0; --get: #5cc9a0; --post: #7db8f0; --put: #e0b050; --delete: #ef8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif;
  display: grid; grid-template-columns: minmax(15rem, 20rem) minmax(0, 56rem); gap: 0 3rem; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 1.6rem 1.2rem;
  border-right: 1px solid var(--line); font-size: .87rem; }
nav h2 { margin: 1.4rem 0 .3rem; font-size: .75rem; letter-spacing: .08em; text-transform: uppercase; color: var(--soft); }
nav ul { margin: 0; padding: 0; list-style: none; }
nav a { display: flex; align-items: baseline; padding: .18rem 0; color: var(--ink); text-decoration: none; overflow-wrap: anywhere; }
nav a:hover, a:hover { text-decoration: underline; }
main { padding: 1.6rem 1.5rem 5rem 0; min-width: 0; }
a { color: var(--link); }
h1 { margin: 0 0 .3rem; font-size: 1.9rem; }
h1 small { font-size: .9rem; font-weight: 400; color: var(--soft); }
main > h2 { margin: 3rem 0 .2rem; padding-bottom: .3rem; border-bottom: 2px solid var(--line); text-transform: capitalize; }
section { margin: 2rem 0 2.6rem; }
section h3 { margin: 0; font-size: 1.15rem; }
.address { margin: .3rem 0 .6rem; font-family: ui-monospace, monospace; font-size: .95rem; overflow-wrap: anywhere; }
.method { display: inline-block; flex: none; min-width: 3.6rem; font: 700 .72rem/1 ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); } .delete { color: var(--delete); }
.soft { color: var(--soft); }
h4 { margin: 1.1rem 0 .3rem; font-size: .85rem; color: var(--soft); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
td { padding: .38rem .9rem .38rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td:first-child { width: 13rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .86em; }
code { overflow-wrap: anywhere; }
pre { margin: .4rem 0; padding: .8rem 1rem; overflow-x: auto; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; line-height: 1.45; }
details { margin: .5rem 0; } summary { cursor: pointer; }
@media (max-width: 60rem) { body { display: block; } nav { position: static; max-height: none; border: 0; } main { padding: 0 1.2rem 4rem; } }
`
