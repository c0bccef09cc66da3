/*
 * status_page.c - the state of the server as an HTML page.
 *
 * The page refers to no other resource.  It refreshes itself every two seconds,
 * by a script where scripts run, and by its header elsewhere.  All text that
 * clients chose goes through put_html().
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "fcgi/status_parts.h"

/* The uploads that have run longest; the text and JSON formats have all. */
#define UPLOADS_SHOWN 50

/* Split, because a compiler need not accept a longer string literal. */
static const char *const style[] = {
	":root{color-scheme:light dark;--ground:#f4f6f9;--card:#fff;"
	"--text:#17212b;--quiet:#57646f;--line:#dde3ea;--accent:#2456d3;"
	"--client:#8a97a5;--lock:#c2410c;--disk:#2456d3;--hook:#7c3aed;"
	"--bad:#b3261e;--warn:#8a5a00}"
	"@media(prefers-color-scheme:dark){:root{--ground:#0f141a;"
	"--card:#18202a;--text:#e7edf3;--quiet:#9ba9b6;--line:#2b3743;"
	"--accent:#7aa5ff;--client:#7d8b99;--lock:#fb923c;--disk:#7aa5ff;"
	"--hook:#b794f6;--bad:#ff938a;--warn:#eab54d}}"
	"*{box-sizing:border-box;margin:0}"
	"body{background:var(--ground);color:var(--text);"
	"font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",Roboto,"
	"\"Noto Sans\",Arial,sans-serif;font-variant-numeric:tabular-nums}"
	"header,main{max-width:1240px;margin:0 auto;padding:16px 20px}",
	"header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;"
	"padding-bottom:0}"
	"h1{font-size:22px}h1 small,.quiet{color:var(--quiet);font-weight:400;"
	"font-size:13px}"
	"#fresh{margin-left:auto;color:var(--quiet);font-size:13px}"
	".stale #fresh{color:var(--bad);font-weight:600}"
	"nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:14px 2px 0}"
	"a{color:var(--accent)}"
	".tiles{display:grid;gap:12px;"
	"grid-template-columns:repeat(auto-fit,minmax(190px,1fr))}"
	".tile,section{background:var(--card);border:1px solid var(--line);"
	"border-radius:10px}.tile{padding:12px 14px}"
	".tile b{display:block;font-size:22px;line-height:1.25}"
	".tile h2{font-size:13px;color:var(--quiet);font-weight:500}"
	"section{margin-top:16px;padding:12px 0 6px}"
	"section>h2,section>p{padding:0 14px 8px}section>h2{font-size:16px}"
	"section>h2 span{color:var(--quiet);font-weight:400}",
	"table{width:100%;border-collapse:collapse}"
	"th{text-align:left;font-size:13px;font-weight:500;"
	"color:var(--quiet)}"
	"th,td{padding:7px 14px;border-top:1px solid var(--line);"
	"vertical-align:top}"
	"td.n,th.n{text-align:right;white-space:nowrap}"
	"td.w,.quiet{overflow-wrap:anywhere}"
	"td.s,code{white-space:nowrap}"
	"code{font:12px ui-monospace,Menlo,Consolas,monospace;"
	"color:var(--quiet);display:block}"
	"progress{display:block;width:100%;min-width:150px;height:9px;"
	"margin:5px 0 2px;appearance:none;border:0;border-radius:5px;"
	"overflow:hidden;background:var(--line)}"
	"progress::-webkit-progress-bar{background:var(--line)}"
	"progress::-webkit-progress-value{background:var(--accent)}"
	"progress::-moz-progress-bar{background:var(--accent)}"
	"svg{display:block;width:100%;min-width:120px;max-width:420px;"
	"height:9px;"
	"border-radius:5px;margin:5px 0 2px;background:var(--line)}",
	".client{fill:var(--client);color:var(--client)}"
	".lock{fill:var(--lock);color:var(--lock)}"
	".disk{fill:var(--disk);color:var(--disk)}"
	".hook{fill:var(--hook);color:var(--hook)}"
	".idle{fill:var(--line)}.busy{fill:var(--hook)}"
	".receiving{fill:var(--accent)}"
	".error{color:var(--bad)}.warn{color:var(--warn)}"
	"@media(max-width:760px){"
	"header,main{padding-left:12px;padding-right:12px}"
	".tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:9px 11px}"
	".tile b{font-size:18px}"
	"thead{display:none}table,tbody{display:block}"
	"tr{display:grid;grid-template-columns:1fr 1fr;gap:3px 12px;"
	"padding:10px 12px;border-top:1px solid var(--line)}"
	"td,td.n{display:block;border:0;padding:0;text-align:left;"
	"white-space:normal;overflow-wrap:anywhere}td.w{grid-column:1/"
	"-1}td:empty{display:none}"
	"td[data-l]::before{content:attr(data-l) \" \";color:var(--quiet);"
	"font-size:12px}}",
};

/* Only main is replaced: the rest of the new page has another nonce. */
static const char *const script[] = {
	"async function again(){"
	"var fresh=document.getElementById('fresh');"
	"if(document.hidden)return;"
	"try{var r=await fetch(location.href,{cache:'no-store',"
	"credentials:'same-origin',headers:{Accept:'text/html'}});"
	"if(!r.ok)throw new Error(r.status);var t=await r.text();"
	"t=t.slice(t.indexOf('<main '),t.indexOf('</main>'));"
	"var m=new DOMParser().parseFromString(t,'text/html')"
	".querySelector('main');"
	"document.querySelector('main').replaceWith(document.adoptNode(m));"
	"document.title=m.dataset.title;fresh.textContent=m.dataset.time;"
	"document.body.classList.remove('stale')"
	"}catch(e){document.body.classList.add('stale');"
	"fresh.textContent='No answer. What you see is old.'}}",
	"(function next(){setTimeout(function(){again().then(next)},2000)})()",
};

/* --- Pieces. --- */

static void
put_html(struct text *t, const char *s)
{
	static const struct {
		char ch;
		const char *escape;
	} escapes[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" },
		{ '"', "&quot;" }, { '\'', "&#39;" } };
	size_t i, plain;

	while (*s != '\0') {
		plain = strcspn(s, "&<>\"'");
		text_put(t, "%.*s", (int)plain, s);
		s += plain;
		for (i = 0; i < NITEMS(escapes); i++)
			if (*s == escapes[i].ch) {
				text_put(t, "%s", escapes[i].escape);
				s++;
				break;
			}
	}
}

static void
put_all(struct text *t, const char *const *piece, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		text_put(t, "%s", piece[i]);
}

/* A cell with its label, for narrow screens on which the table has no head. */
static void
put_cell(struct text *t, const char *class, const char *label, const char *text)
{
	text_put(t, "<td class=\"%s\"", class);
	if (*text != '\0')
		text_put(t, " data-l=\"%s\"", label);
	text_put(t, ">");
	put_html(t, text);
	text_put(t, "</td>");
}

/* The file's name above the upload's id. */
static void
put_upload(struct text *t, const struct status_work *w)
{
	text_put(t, "<td class=\"w\">");
	put_html(t, *w->name != '\0' ? w->name : "");
	text_put(t, "<code>");
	put_html(t, *w->id != '\0' ? w->id : "to be created");
	text_put(t, "</code></td>");
}

static void
put_request(struct text *t, const struct status_work *w)
{
	text_put(t, "<td class=\"w\">");
	put_html(t, w->method);
	text_put(t, " ");
	put_html(t, w->name);
	text_put(t, "<code>");
	put_html(t, w->id);
	text_put(t, "</code></td>");
}

struct share {
	const char *class, *what;
	int64_t n;
};

/* A bar of several colours; sum is the sum of the shares, and not 0. */
static void
put_bar(struct text *t, const struct share *share, size_t n, int64_t sum)
{
	double at = 0, wide;
	size_t i;

	text_put(t,
	    "<svg viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" "
	    "aria-hidden=\"true\">");
	for (i = 0; i < n && sum > 0; i++) {
		wide = (double)share[i].n * 100 / (double)sum;
		text_put(t,
		    "<rect class=\"%s\" x=\"%.2f\" width=\"%.2f\" "
		    "height=\"1\"/>",
		    share[i].class, at, wide);
		at += wide;
	}
	text_put(t, "</svg>");
}

/* How the time of a request was spent: as a bar, and in words. */
static void
put_spent(struct text *t, const struct status_work *w)
{
	struct share share[WORK_PHASE_MAX];
	enum work_phase phase;
	int64_t sum = 0;
	const char *comma = "";

	for (phase = 0; phase < WORK_PHASE_MAX; phase++) {
		share[phase] = (struct share){ work_phase_name(phase),
			work_phase_name(phase), w->spent[phase] };
		sum += w->spent[phase];
	}
	text_put(t, "<td class=\"w\">");
	put_bar(t, share, WORK_PHASE_MAX, sum);
	for (phase = 0; phase < WORK_PHASE_MAX; phase++)
		if (w->spent[phase] > 0) {
			text_put(t, "%s<span class=\"%s\">%s</span> %s", comma,
			    share[phase].class, share[phase].what,
			    status_time(t->arena, w->spent[phase]));
			comma = ", ";
		}
	text_put(t, "</td>");
}

static void
put_when(struct text *t, int64_t when, int64_t now)
{
	char date[CLOCK_HTTP_DATE_MAX];

	clock_http_date(when, date);
	text_put(t, "<td class=\"s\" title=\"%s\">%s ago</td>", date,
	    status_time(t->arena, (now - when) * 1000));
}

/* --- Sections. --- */

static void
open_section(struct text *t, const char *id, const char *title, size_t n)
{
	text_put(
	    t, "<section id=\"%s\"><h2>%s <span>%zu</span></h2>", id, title, n);
}

static void
open_table(struct text *t, const char *heads)
{
	text_put(t, "<table><thead><tr>%s</tr></thead><tbody>", heads);
}

static void
put_workers(struct text *t, const struct status *st)
{
	const int *n = st->workers;
	const struct share share[] = {
		{ "receiving", "receiving", n[WORKER_RECEIVING] },
		{ "busy", "busy", n[WORKER_BUSY] },
		{ "idle", "idle", n[WORKER_IDLE] },
	};

	text_put(t, "<div class=\"tile\"><h2>Workers</h2><b>%d of %d</b>",
	    n[WORKER_RECEIVING] + n[WORKER_BUSY], st->max_workers);
	put_bar(t, share, NITEMS(share), st->max_workers);
	text_put(t,
	    "<p class=\"quiet\">%d receiving, %d busy, %d idle; "
	    "%d parked</p></div>",
	    n[WORKER_RECEIVING], n[WORKER_BUSY], n[WORKER_IDLE], st->parked);
}

static void
put_tile(
    struct text *t, const char *title, const char *large, const char *small)
{
	text_put(t,
	    "<div class=\"tile\"><h2>%s</h2><b>%s</b>"
	    "<p class=\"quiet\">%s</p></div>",
	    title, large, small);
}

static void
put_tiles(struct text *t, const struct status *st)
{
	struct arena *a = t->arena;

	text_put(t, "<div class=\"tiles\">");
	put_workers(t, st);
	put_tile(t, "Receiving now",
	    arena_printf(a, "%s/s", status_size(a, st->rate)),
	    arena_printf(
		a, "%s since the start", status_size(a, (int64_t)st->bytes)));
	put_tile(t, "Uploads created", arena_printf(a, "%" PRIu64, st->created),
	    arena_printf(a, "%" PRIu64 " finished, %" PRIu64 " terminated",
		st->finished, st->terminated));
	put_tile(t, "Requests", arena_printf(a, "%" PRIu64, st->requests),
	    arena_printf(a, "%" PRIu64 " refused", st->refusals));
	put_tile(t, "Hooks running",
	    arena_printf(a, "%" PRId64, st->hooks_running),
	    st->hooks_waiting < 0 ?
		"events that wait cannot be counted" :
		arena_printf(a, "%" PRId64 " events wait", st->hooks_waiting));
	text_put(t, "</div>");
}

/* The time that is left at the current rate. */
static const char *
time_left(struct arena *a, const struct work *w)
{
	double s;

	if (w->size < 0 || w->rate <= 0 || w->offset < 0)
		return "?";
	s = (double)(w->size - w->offset) / (double)w->rate;
	return s > 99.0 * 86400 ? "?" : status_time(a, (int64_t)(s * 1000));
}

static void
put_progress(struct text *t, const struct work *w)
{
	int percent = status_percent(w);

	text_put(t, "<td class=\"w\">");
	if (percent >= 0)
		text_put(t,
		    "<progress max=\"100\" value=\"%d\">%d %%</progress>"
		    "%d %% of %s",
		    percent, percent, percent, status_size(t->arena, w->size));
	else
		text_put(t, "%s, length not known",
		    status_size(t->arena, w->offset));
	text_put(t, "</td>");
}

static void
put_phase(struct text *t, enum work_phase phase)
{
	const char *name = work_phase_name(phase);

	text_put(t,
	    "<td class=\"s\" data-l=\"waits for\"><span class=\"%s\">%s"
	    "</span></td>",
	    name, name);
}

static void
put_uploads(struct text *t, const struct status *st)
{
	size_t i, n = st->n_uploads;

	open_section(t, "uploads", "Uploads under way", n);
	if (n > UPLOADS_SHOWN) {
		n = UPLOADS_SHOWN;
		text_put(t,
		    "<p class=\"quiet\">The %d that are longest at work; "
		    "<a href=\"?plain\">all as text</a>.</p>",
		    UPLOADS_SHOWN);
	}
	if (n > 0)
		open_table(t,
		    "<th>Upload</th><th>Progress</th><th class=\"n\">Rate</th>"
		    "<th class=\"n\">Left</th><th class=\"n\">At work</th>"
		    "<th>Waits for</th><th>Owner</th><th>Client</th>");
	for (i = 0; i < n; i++) {
		const struct status_work *w = &st->uploads[i];

		text_put(t, "<tr>");
		put_upload(t, w);
		put_progress(t, &w->work);
		put_cell(t, "n", "rate",
		    arena_printf(
			t->arena, "%s/s", status_size(t->arena, w->work.rate)));
		put_cell(t, "n", "left", time_left(t->arena, &w->work));
		put_cell(t, "n", "at work", status_time(t->arena, w->ms));
		put_phase(t, w->work.phase);
		put_cell(t, "", "owner", w->owner);
		put_cell(t, "s", "client", w->client);
		text_put(t, "</tr>");
	}
	text_put(t, "%s</section>", n > 0 ? "</tbody></table>" : "");
}

static void
put_others(struct text *t, const struct status *st)
{
	size_t i;

	open_section(t, "others", "Other requests at work", st->n_others);
	if (st->n_others > 0)
		open_table(t,
		    "<th>Request</th><th>Where the time went</th>"
		    "<th class=\"n\">At work</th><th>Waits for</th>"
		    "<th>Owner</th><th>Client</th>");
	for (i = 0; i < st->n_others; i++) {
		const struct status_work *w = &st->others[i];

		text_put(t, "<tr>");
		put_request(t, w);
		put_spent(t, w);
		put_cell(t, "n", "at work", status_time(t->arena, w->ms));
		put_phase(t, w->work.phase);
		put_cell(t, "", "owner", w->owner);
		put_cell(t, "s", "client", w->client);
		text_put(t, "</tr>");
	}
	text_put(t, "%s</section>", st->n_others > 0 ? "</tbody></table>" : "");
}

static void
put_slowest(struct text *t, const struct status *st)
{
	size_t i;

	open_section(t, "slowest", "Slowest requests", st->n_slowest);
	text_put(t,
	    "<p class=\"quiet\">Of the last hour, by the time that was not "
	    "the client's.</p>");
	if (st->n_slowest > 0)
		open_table(t,
		    "<th>Request</th><th>Where the time went</th>"
		    "<th class=\"n\">Took</th><th class=\"n\">Status</th>"
		    "<th>Began</th><th>Owner</th><th>Client</th>");
	for (i = 0; i < st->n_slowest; i++) {
		const struct status_work *w = &st->slowest[i];

		text_put(t, "<tr>");
		put_request(t, w);
		put_spent(t, w);
		put_cell(t, "n", "took", status_time(t->arena, w->ms));
		put_cell(t, "n", "status",
		    arena_printf(t->arena, "%d", w->work.status));
		put_when(t, w->work.when, st->now);
		put_cell(t, "", "owner", w->owner);
		put_cell(t, "s", "client", w->client);
		text_put(t, "</tr>");
	}
	text_put(
	    t, "%s</section>", st->n_slowest > 0 ? "</tbody></table>" : "");
}

static void
put_errors(struct text *t, const struct status *st)
{
	size_t i;

	open_section(t, "errors", "Last errors and warnings", st->n_errors);
	if (st->n_errors > 0)
		open_table(t,
		    "<th>When</th><th></th><th class=\"n\">Process</th>"
		    "<th>What</th>");
	for (i = 0; i < st->n_errors; i++) {
		const struct status_error *e = &st->errors[i];

		text_put(t, "<tr>");
		put_when(t, e->when, st->now);
		text_put(t, "<td class=\"%s\">%s</td>", e->level, e->level);
		put_cell(
		    t, "n", "process", arena_printf(t->arena, "%ld", e->pid));
		text_put(t, "<td class=\"w\">");
		put_html(t, e->text);
		text_put(t, "</td></tr>");
	}
	text_put(t, "%s</section>", st->n_errors > 0 ? "</tbody></table>" : "");
}

static void
put_head(struct text *t, const struct status *st, const char *title,
    const char *nonce)
{
	text_put(t,
	    "<!doctype html>\n<html lang=\"en\"><head>"
	    "<meta charset=\"utf-8\">"
	    "<meta name=\"viewport\" "
	    "content=\"width=device-width,initial-scale=1\">"
	    "<meta name=\"robots\" content=\"noindex\">"
	    "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"
	    "<title>%s</title><style nonce=\"%s\">",
	    title, nonce);
	put_all(t, style, NITEMS(style));
	text_put(t,
	    "</style></head>\n<body><header><h1>tusfcgi <small>%s, up for %s"
	    "</small></h1>",
	    PACKAGE_VERSION,
	    status_time(t->arena, (st->now - st->started) * 1000));
}

void
status_page(struct text *t, const struct status *st, const char *nonce)
{
	const char *title = arena_printf(t->arena, "tusfcgi: %zu uploads, %s/s",
	    st->n_uploads, status_size(t->arena, st->rate));
	char date[CLOCK_HTTP_DATE_MAX];

	clock_http_date(st->now, date);
	put_head(t, st, title, nonce);
	text_put(t,
	    "<p id=\"fresh\">%s</p></header>\n"
	    "<main data-title=\"%s\" data-time=\"%s\">",
	    date, title, date);
	put_tiles(t, st);
	text_put(t,
	    "<nav><a href=\"#uploads\">Uploads %zu</a>"
	    "<a href=\"#others\">Other requests %zu</a>"
	    "<a href=\"#slowest\">Slowest %zu</a>"
	    "<a href=\"#errors\">Errors %zu</a>"
	    "<a href=\"?json\">JSON</a><a href=\"?plain\">Text</a></nav>",
	    st->n_uploads, st->n_others, st->n_slowest, st->n_errors);
	put_uploads(t, st);
	put_others(t, st);
	put_slowest(t, st);
	put_errors(t, st);
	text_put(t, "</main>\n<script nonce=\"%s\">", nonce);
	put_all(t, script, NITEMS(script));
	text_put(t, "</script></body></html>\n");
}
