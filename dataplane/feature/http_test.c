#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/feature/feature.h"
#include "dataplane/feature/http.h"

#define CLIENT GN_RX
#define SERVER GN_TX

struct http_case {
	const char *name;
	const char *requests;
	const char *responses;
	uint64_t n_requests;
	uint64_t status[5];
	uint64_t n_timed;
	bool lossy; /* what is found again depends on the cuts */
};

/* Requests are fed first, then responses, whatever the cuts. */
static const struct http_case cases[] = {
        {"one exchange", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", .n_requests = 1, .status = {0, 1},
         .n_timed = 1},
        {"pipelined and keep-alive",
         "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nDELETE /3 HTTP/1.1\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 No\r\n\r\n"
         "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
         .n_requests = 3, .status = {0, 2, 0, 0, 1}, .n_timed = 3},
        {"body that looks like messages",
         "POST / HTTP/1.1\r\ncontent-length:16\r\n\r\nGET / HTTP/1.1\r\nPUT / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:   17  \r\n\r\nHTTP/1.1 500 Oh\r\n"
         "HTTP/1.1 301 Go\r\nContent-Length: 0\r\n\r\n",
         .n_requests = 2, .status = {0, 1, 1}, .n_timed = 2},
        {"chunks with extension and trailer",
         "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
         "a;x=y\r\n0123456789\r\n00\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
         "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx",
         .n_requests = 2, .status = {0, 1, 0, 1}, .n_timed = 2},
        {"head has no body", "HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
         "1\r\n\r\nx",
         .n_requests = 2, .status = {0, 2}, .n_timed = 2},
        {"not modified has no body", "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 Same\r\n\r\n",
         .n_requests = 2, .status = {0, 0, 2}, .n_timed = 2},
        {"continue is not the response",
         "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
         .n_requests = 1, .status = {1, 1}, .n_timed = 1},
        {"until close", "GET / HTTP/1.0\r\n\r\n",
         "HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 500 in the body\r\n\r\n", .n_requests = 1,
         .status = {0, 1}, .n_timed = 1},
        {"bare line feeds and empty lines", "\r\n\nGET / HTTP/1.1\nHost: x\n\n",
         "HTTP/1.1 200 OK\nContent-Length: 0\n\n", .n_requests = 1, .status = {0, 1}, .n_timed = 1},
        {"long lines",
         "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n"
         "Cookie: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n",
         "HTTP/1.1 200 OKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK\r\n\r\n",
         .n_requests = 1, .status = {0, 1}, .n_timed = 1},
        {"more requests pending than are timed",
         "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
         "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
         "GET / HTTP/1.1\r\n\r\n",
         "HTTP/1.1 204 \r\n\r\n", .n_requests = 9, .status = {0, 1}, .n_timed = 0},
        {"another protocol's words", "GETTING / HTTP/2.0\r\n\r\n", "HTTP/1.1 600 No\r\n\r\n",
         .n_requests = 0, .status = {0}, .n_timed = 0},
        {"negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "", .n_requests = 1, .status = {0}, .n_timed = 0, .lossy = true},
        {"length that overflows",
         "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         "", .n_requests = 1, .status = {0}, .n_timed = 0, .lossy = true},
        {"chunk size that overflows",
         "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nGET / "
         "HTTP/1.1\r\n\r\n",
         "", .n_requests = 1, .status = {0}, .n_timed = 0, .lossy = true},
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

struct run {
	struct gn_feature_counters counters;
	struct gn_http http;
	struct gn_http_context context;
};

static void begin(struct run *run)
{
	memset(run, 0, sizeof(*run));
	run->http.client = CLIENT;
	run->context.counters = &run->counters;
	run->context.lines_left = UINT32_MAX;
}

/* An exact copy, for ASan. */
static enum gn_http_verdict feed(struct run *run, enum gn_direction direction, const char *text,
                                 uint32_t n)
{
	uint8_t *exact = malloc(n ? n : 1);
	enum gn_http_verdict verdict;

	memcpy(exact, text, n);
	verdict = gn_http_feed(&run->http, direction, exact, n, 0, &run->context);
	free(exact);
	return verdict;
}

static void expect(const struct run *run, const struct http_case *c)
{
	assert_int_equal(run->counters.http_requests, c->n_requests);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(run->counters.http_status[i], c->status[i]);
	assert_int_equal(run->counters.http_first_byte.count, c->n_timed);
}

static void feed_in_two(struct run *run, enum gn_direction direction, const char *text,
                        uint32_t cut)
{
	uint32_t n = (uint32_t)strlen(text);

	cut = cut < n ? cut : n;
	if (cut)
		feed(run, direction, text, cut);
	if (n - cut)
		feed(run, direction, text + cut, n - cut);
}

static void test_cut_at_every_byte(void **state)
{
	for (unsigned i = 0; i < N_CASES; i++) {
		uint32_t n = (uint32_t)(strlen(cases[i].requests) + strlen(cases[i].responses));

		print_message("# %s\n", cases[i].name);
		for (uint32_t cut = cases[i].lossy ? n : 0; cut <= n; cut++) {
			struct run run;

			begin(&run);
			run.context.now_us = 1000;
			feed_in_two(&run, CLIENT, cases[i].requests, cut);
			run.context.now_us = 1700;
			feed_in_two(&run, SERVER, cases[i].responses, cut);
			expect(&run, &cases[i]);
			assert_int_equal(run.counters.http_first_byte.sum_us,
			                 700 * cases[i].n_timed);
		}
	}
}

static void feed_in_pieces(struct run *run, enum gn_direction direction, const char *text,
                           unsigned *seed)
{
	uint32_t n = (uint32_t)strlen(text), done = 0;

	while (done < n) {
		uint32_t piece = 1 + (uint32_t)rand_r(seed) % 20;

		if (piece > n - done)
			piece = n - done;
		feed(run, direction, text + done, piece);
		done += piece;
	}
}

static void test_cut_at_random(void **state)
{
	unsigned seed = 5;

	for (unsigned round = 0; round < 300 * N_CASES; round++) {
		struct run run;

		if (cases[round % N_CASES].lossy)
			continue;
		begin(&run);
		feed_in_pieces(&run, CLIENT, cases[round % N_CASES].requests, &seed);
		feed_in_pieces(&run, SERVER, cases[round % N_CASES].responses, &seed);
		expect(&run, &cases[round % N_CASES]);
	}
}

static void test_gap_in_body_keeps_framing(void **state)
{
	struct run run;

	begin(&run);
	feed(&run, CLIENT, "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 36);
	feed(&run, SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\nabc", 50);
	assert_int_equal(gn_http_gap(&run.http, SERVER, 4000000000u), GN_HTTP_GO_ON);
	assert_int_equal(gn_http_gap(&run.http, SERVER, 4000000000u), GN_HTTP_GO_ON);
	assert_int_equal(gn_http_gap(&run.http, SERVER, 999999997u), GN_HTTP_GO_ON);
	feed(&run, SERVER, "HTTP/1.1 200 OK\r\n\r\n", 19);
	assert_int_equal(run.counters.http_status[1], 2);
	assert_int_equal(run.counters.http_first_byte.count, 2);
	assert_int_equal(run.http.losses, 0);
}

static void test_found_again_after_gap_in_header(void **state)
{
	struct run run;

	begin(&run);
	feed(&run, CLIENT, "POST / HTTP/1.1\r\nContent-Le", 27);
	gn_http_gap(&run.http, CLIENT, 100);
	feed(&run, CLIENT, "in the middle of GET / HTTP/1.1\r\n", 33);
	assert_int_equal(run.counters.http_requests, 1);
	feed(&run, CLIENT, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(run.counters.http_requests, 2);
	feed(&run, SERVER, "HTTP/1.1 200 OK\r\n\r\n", 19);
	assert_int_equal(run.counters.http_first_byte.count, 1);
}

static void test_unreadable_rest_of_segment(void **state)
{
	static const uint8_t head[] = "POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n";
	struct run run;

	begin(&run);
	assert_int_equal(gn_http_feed(&run.http, CLIENT, head, sizeof(head) - 1, 100, &run.context),
	                 GN_HTTP_GO_ON);
	feed(&run, CLIENT, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(run.counters.http_requests, 2);
	assert_int_equal(run.http.losses, 0);
}

static void test_tunnel_and_upgrade(void **state)
{
	struct run run;

	begin(&run);
	feed(&run, CLIENT, "CONNECT a:443 HTTP/1.1\r\n\r\n", 26);
	assert_int_equal(feed(&run, SERVER, "HTTP/1.1 200 OK\r\n\r\n", 19), GN_HTTP_TUNNEL);
	begin(&run);
	feed(&run, CLIENT, "CONNECT a:443 HTTP/1.1\r\n\r\n", 26);
	assert_int_equal(feed(&run, SERVER, "HTTP/1.1 403 No\r\n\r\n", 19), GN_HTTP_GO_ON);
	begin(&run);
	feed(&run, CLIENT, "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 38);
	assert_int_equal(feed(&run, SERVER, "HTTP/1.1 101 Switching\r\n\r\n", 26), GN_HTTP_STOP);
	assert_int_equal(run.counters.http_status[0], 1);
}

static void test_work_is_bounded(void **state)
{
	static uint8_t lines[60000];
	struct run run;
	unsigned calls = 0;

	/* As many lines as allowed, then the stream is lost. */
	begin(&run);
	run.context.lines_left = 10;
	memset(lines, '\n', sizeof(lines));
	gn_http_feed(&run.http, CLIENT, lines, sizeof(lines), 0, &run.context);
	assert_int_equal(run.context.lines_left, 0);
	assert_int_equal(run.http.losses, 1);
	/* A line that does not end. */
	begin(&run);
	memset(lines, 'A', sizeof(lines));
	gn_http_feed(&run.http, CLIENT, lines, sizeof(lines), 0, &run.context);
	assert_int_equal(run.http.losses, 1);
	assert_true(UINT32_MAX - run.context.lines_left <= 2);
	/* Who always loses is no longer looked at. */
	begin(&run);
	while (feed(&run, CLIENT, "GET / HTTP/2\r\n", 14) == GN_HTTP_GO_ON)
		calls++;
	assert_int_equal(calls, GN_HTTP_MAX_LOSSES - 1);
}

static void test_requests_that_are_never_answered(void **state)
{
	struct run run;

	begin(&run);
	for (unsigned i = 0; i < 1000; i++)
		feed(&run, CLIENT, "GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(run.counters.http_requests, 1000);
	for (unsigned i = 0; i < 1000; i++)
		feed(&run, SERVER, "HTTP/1.1 204 OK\r\n\r\n", 19);
	assert_int_equal(run.counters.http_status[1], 1000);
	feed(&run, CLIENT, "GET / HTTP/1.1\r\n\r\n", 18);
	feed(&run, SERVER, "HTTP/1.1 204 OK\r\n\r\n", 19);
	assert_true(run.counters.http_first_byte.count >= 1);
}

static void test_mutations(void **state)
{
	unsigned seed = 17;

	for (unsigned round = 0; round < 20000; round++) {
		const struct http_case *c = &cases[round % N_CASES];
		struct run run;
		char text[1024];
		uint32_t n = (uint32_t)strlen(c->requests);

		begin(&run);
		memcpy(text, c->requests, n);
		for (unsigned i = 0; i < 1 + round % 3; i++)
			text[(unsigned)rand_r(&seed) % n] = (char)rand_r(&seed);
		text[n] = 0;
		feed_in_pieces(&run, CLIENT, text, &seed);
		feed_in_pieces(&run, SERVER, c->responses, &seed);
		assert_true(run.http.n_pending <= run.counters.http_requests);
	}
}

static void test_guess(void **state)
{
	static const struct {
		const char *text;
		enum gn_http_guess guess;
	} guesses[] = {
	        {"G", GN_HTTP_NEED_MORE},
	        {"GET", GN_HTTP_NEED_MORE},
	        {"GET ", GN_HTTP_REQUEST},
	        {"M-SEARCH * ", GN_HTTP_REQUEST},
	        {"HTTP/", GN_HTTP_NEED_MORE},
	        {"HTTP/1.", GN_HTTP_RESPONSE},
	        {"HTTP/2 ", GN_HTTP_NOTHING},
	        {"HI ", GN_HTTP_NOTHING},
	        {"get ", GN_HTTP_NOTHING},
	        {"SSH-2.0-x", GN_HTTP_NOTHING},
	        {"ABCDEFGHIJKLMNOPQ", GN_HTTP_NOTHING},
	        {" GET", GN_HTTP_NOTHING},
	};

	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		print_message("# %s\n", guesses[i].text);
		assert_int_equal(gn_http_guess((const uint8_t *)guesses[i].text,
		                               (uint32_t)strlen(guesses[i].text)),
		                 guesses[i].guess);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_cut_at_every_byte),
	        cmocka_unit_test(test_cut_at_random),
	        cmocka_unit_test(test_gap_in_body_keeps_framing),
	        cmocka_unit_test(test_found_again_after_gap_in_header),
	        cmocka_unit_test(test_unreadable_rest_of_segment),
	        cmocka_unit_test(test_tunnel_and_upgrade),
	        cmocka_unit_test(test_work_is_bounded),
	        cmocka_unit_test(test_requests_that_are_never_answered),
	        cmocka_unit_test(test_mutations),
	        cmocka_unit_test(test_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
