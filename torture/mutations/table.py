"""
The mutations and the tests that must fail for each: R38, and what the faults of database, queue and HTTP rest on.

Where leaving a text out would change nothing by chance (PostgreSQL delivers the order that nobody asked for), the
mutation puts its opposite there.
"""

from __future__ import annotations

from torture.mutations.mutation import Mutation

_PAGES = "tests/store/test_pages.py::"
_ASOF = "tests/store/test_asof.py::"
_RUNS = "tests/store/test_runs.py::"
_QUOTA = "tests/store/test_quota.py::"
_AT_ONCE = "tests/store/test_concurrency.py::"
_DATABASE = "tests/store/test_database.py::"
_GAPS = "tests/core/test_gaps.py::"
_PROOF = "tests/core/test_proof.py::"
_HTTP = "tests/providers/test_http.py::"
_CLIENT = "tests/providers/test_client.py::"
_PAGE_FAULTS = "tests/engine/test_faults_pages.py::"
_HTTP_FAULTS = "tests/engine/test_faults_http.py::"
_DOUBT = "tests/engine/test_doubt.py::"
_SILENCE = "tests/engine/test_silence.py::"
_SETTLING = "tests/engine/test_settling.py::"
_WORKER = "tests/engine/test_worker.py::"
_FOREIGN = "tests/engine/test_foreign_days.py::"
_TENURES = "tests/core/test_tenures.py::"
_IMPORTING = "tests/engine/test_importing.py::"
_BOUNDS = "tests/engine/test_bounds.py::"
_OUTAGES = "tests/core/test_outages.py::"

WRITING = (
    Mutation(
        "series locked in descending order",
        "store/pages.sql",
        "and symbol_id = any(%(symbol_ids)s::integer[])\norder by symbol_id\nfor update;",
        "and symbol_id = any(%(symbol_ids)s::integer[])\norder by symbol_id desc\nfor update;",
        (f"{_AT_ONCE}test_series_are_locked_in_the_order_of_their_ids[private]",),
    ),
    Mutation(
        "new series added in descending order",
        "store/pages.sql",
        "order by wanted.symbol_id\non conflict",
        "order by wanted.symbol_id desc\non conflict",
        (f"{_PAGES}test_rows_are_put_in_place_in_the_order_of_their_keys[private]",),
    ),
    Mutation(
        "upsert in descending order",
        "store/bars.sql",
        "order by staged.symbol_id, staged.ts  --",
        "order by staged.symbol_id desc, staged.ts desc  --",
        (f"{_PAGES}test_rows_are_put_in_place_in_the_order_of_their_keys[private]",),
    ),
    Mutation(
        "no DISTINCT ON in the upsert",
        "store/bars.sql",
        "select distinct on (staged.symbol_id, staged.ts)",
        "select",
        (f"{_PAGES}test_statement_itself_takes_care_of_doubles_order_and_policy[private]",),
    ),
    Mutation(
        "no IS DISTINCT FROM in the upsert",
        "store/bars.sql",
        ") is distinct from (\n        excluded.open,",
        ") is distinct from (\n        excluded.open + 1,",
        (f"{_PAGES}test_statement_itself_takes_care_of_doubles_order_and_policy[private]",),
    ),
    Mutation(
        "<> for IS DISTINCT FROM in the upsert",
        "store/bars.sql",
        ") is distinct from (\n        excluded.open",
        ") <> (\n        excluded.open",
        (f"{_PAGES}test_a_value_that_comes_or_goes_is_a_change[private]",),
    ),
    Mutation(
        "a change counts from the begin of its transaction",
        "store/migrations/0014_asof.sql",
        "instant := clock_timestamp();",
        "instant := now();",
        (f"{_ASOF}test_who_commits_later_counts_later[private]",),
    ),
    Mutation(
        "values that nobody saw become revisions",
        "store/migrations/0014_asof.sql",
        "if since = instant then",
        "if false then",
        (f"{_ASOF}test_a_value_that_only_its_own_transaction_saw_is_no_revision[private]",),
    ),
    Mutation(
        "new bars count from when they were fetched",
        "store/bars.py",
        '"created_at": changed_at,',
        '"created_at": write.fetched_at,',
        (f"{_ASOF}test_any_instant_of_any_history_is_as_readers_saw_it[private]",),
    ),
    Mutation(
        "keys of a write in any order",
        "store/writes.py",
        "if not np.all(keys[1:] > keys[:-1]):",
        "if False:",
        (f"{_PAGES}test_unsorted_or_doubled_rows_are_a_mistake_of_the_caller[private]",),
    ),
    Mutation(
        "upsert of any feed and basis",
        "store/bars.sql",
        "        and series.feed = %(feed)s\n        and series.basis = %(basis)s\n    order by",
        "    order by",
        (f"{_PAGES}test_statement_itself_takes_care_of_doubles_order_and_policy[private]",),
    ),
    Mutation(
        "no lock on the series of a page",
        "store/pages.sql",
        "order by symbol_id\nfor update;",
        "order by symbol_id;",
        (f"{_AT_ONCE}test_one_writer_per_series_at_a_time[private]",),
    ),
    Mutation(
        "coverage replaced, not united",
        "store/pages.sql",
        "covered = series.covered + given.proved",
        "covered = given.proved",
        (f"{_AT_ONCE}test_no_proof_is_lost_between_writers[private]",),
    ),
    Mutation(
        "no coalesce around no coverage",
        "store/migrations/0003_definitions.sql",
        "        '{}'\n    );",
        "        null\n    );",
        ("tests/store/test_definitions.py::test_gaps_up_to_now_need_three_values_only[private]",),
    ),
    Mutation(
        "a page's density forgets the known one",
        "store/pages.sql",
        "density = coalesce(given.density, series.density)",
        "density = given.density",
        (f"{_PAGES}test_what_is_known_of_a_symbol_is_not_forgotten[private]",),
    ),
    Mutation(
        "no end to a silent page transaction",
        "store/pages.py",
        "set local idle_in_transaction_session_timeout = '10s'",
        "set local idle_in_transaction_session_timeout = 0",
        (f"{_PAGES}test_a_page_that_stands_still_is_ended_by_the_server[private]",),
    ),
    Mutation(
        "a busy database is asked once",
        "store/database.py",
        "ATTEMPTS_MAX = 3",
        "ATTEMPTS_MAX = 1",
        (f"{_AT_ONCE}test_deadlocked_transaction_is_repeated[private]",),
    ),
    Mutation(
        "statements are prepared",
        "store/database.py",
        "prepare_threshold=None",
        "prepare_threshold=5",
        (f"{_DATABASE}test_no_statement_is_prepared[private]",),
    ),
)

FENCE = (
    Mutation(
        "the fence without epoch",
        "store/pages.sql",
        "\nand epoch = %(epoch)s\nand page_no",
        "\nand page_no",
        (f"{_PAGES}test_page_of_an_older_epoch_is_dropped_on_the_same_page[private]",),
    ),
    Mutation(
        "the fence without page_no",
        "store/pages.sql",
        "\nand page_no = %(page_no)s",
        "",
        (f"{_PAGES}test_page_is_counted_once[private]",),
    ),
    Mutation(
        "the fence without status",
        "store/pages.sql",
        "\nand status = 'running';",
        ";",
        (f"{_PAGES}test_cancelled_run_takes_no_page[private]",),
    ),
    Mutation(
        "the fence is not looked at",
        "store/pages.py",
        "if counted.rowcount != 1:",
        "if False:",
        (f"{_PAGES}test_late_page_is_dropped_whole[private]", f"{_PAGES}test_a_late_page_withdraws_nothing[private]"),
    ),
    Mutation(
        "a claim leaves the epoch",
        "store/runs.sql",
        "set\n    epoch = epoch + 1,\n    status = 'running',",
        "set\n    status = 'running',",
        (f"{_PAGES}test_late_page_is_dropped_whole[private]",),
    ),
    Mutation(
        "a claim past the seen epoch",
        "store/runs.sql",
        "\nand (%(seen_epoch)s::integer is null or epoch = %(seen_epoch)s::integer)",
        "\nand (%(seen_epoch)s::integer is null or true)",
        (f"{_RUNS}test_one_of_two_takers_gets_a_dead_run[private]",),
    ),
    Mutation(
        "failing a run that is somebody else's",
        "store/runs.sql",
        "    finished_at = greatest(started_at, clock_timestamp()),\n    updated_at = clock_timestamp()\n"
        "where id = %(run_id)s\nand epoch = %(epoch)s\n",
        "    finished_at = greatest(started_at, clock_timestamp()),\n    updated_at = clock_timestamp()\n"
        "where id = %(run_id)s\n",
        (f"{_RUNS}test_run_fails_once_with_its_reason[private]",),
    ),
)

QUEUE = (
    Mutation(
        "queue entries without the run's epoch",
        "store/queue.sql",
        "jsonb_build_object('run_id', id, 'epoch', epoch)",
        "jsonb_build_object('run_id', id, 'epoch', 0)",
        (f"{_RUNS}test_a_run_that_waits_again_has_an_entry_of_its_new_epoch[private]",),
    ),
    Mutation(
        "runs without their entries",
        "store/runs.py",
        "    with conn.transaction():\n        ids = sorted(",
        "    if True:\n        ids = sorted(",
        (f"{_RUNS}test_a_run_whose_entry_cannot_be_made_is_not_made[private]",),
    ),
    Mutation(
        "a run put off without its entry",
        "store/runs.py",
        '    with conn.transaction():\n        _fenced(conn.execute(SQL["postpone"]',
        '    if True:\n        _fenced(conn.execute(SQL["postpone"]',
        (f"{_RUNS}test_a_run_whose_entry_cannot_be_made_is_not_put_off[private]",),
    ),
    Mutation(
        "everybody plans at once",
        "store/workers.py",
        'if conn.execute(SQL["try_planning"]).fetchone() == (True,):',
        'if conn.execute(SQL["try_planning"]).fetchone():',
        (f"{_RUNS}test_one_at_a_time_plans[private]",),
    ),
    Mutation(
        "everybody reaps at once",
        "store/runs.py",
        'if conn.execute(SQL["try_reaping"]).fetchone() != (True,):',
        "if False:",
        (f"{_RUNS}test_one_at_a_time_reaps[private]",),
    ),
    Mutation(
        "a planner that stands still holds its turn",
        "store/runs.sql",
        "set_config('idle_in_transaction_session_timeout', '2min', true)",
        "set_config('idle_in_transaction_session_timeout', '0', true)",
        (f"{_RUNS}test_who_stands_still_while_reaping_holds_nobody_up[private]",),
    ),
    Mutation(
        "a reaper that stands still holds its turn",
        "store/runs.sql",
        "set_config('idle_in_transaction_session_timeout', '10s', true)",
        "set_config('idle_in_transaction_session_timeout', '0', true)",
        (f"{_RUNS}test_who_stands_still_while_reaping_holds_nobody_up[private]",),
    ),
    Mutation(
        "reaping waits for locked runs",
        "store/runs.sql",
        "    for update skip locked\n",
        "    for update\n",
        (f"{_RUNS}test_reaping_passes_over_a_run_that_is_locked[private]",),
    ),
    Mutation(
        "a worker lives without its lock",
        "store/migrations/0004_queue.sql",
        "            not has_lock\n            or exists (",
        "            true\n            or exists (",
        (
            f"{_RUNS}test_killed_worker_is_known_dead_at_once[private]",
            f"{_RUNS}test_a_killed_workers_run_is_to_be_had_at_once[private]",
        ),
    ),
    Mutation(
        "a worker lives without heartbeat",
        "store/migrations/0004_queue.sql",
        "and coalesce(heartbeat_at > clock_timestamp() - make_interval(secs => patience_s), false)",
        "and coalesce(heartbeat_at <= clock_timestamp(), false)",
        (f"{_RUNS}test_worker_without_a_lock_lives_by_its_heartbeat[private]",),
    ),
    Mutation(
        "entries that the dead had taken stay",
        "store/queue.sql",
        "last_heartbeat < clock_timestamp() - make_interval(secs => %(patience_s)s)",
        "last_heartbeat < '-infinity'",
        (f"{_RUNS}test_entries_that_dead_workers_had_taken_go[private]",),
    ),
    Mutation(
        "runs that kill their workers go on",
        "store/runs.sql",
        "and losses + 1 >= %(losses_max)s",
        "and losses >= 2 * %(losses_max)s",
        (f"{_RUNS}test_a_run_that_kills_its_workers_fails[private]",),
    ),
    Mutation(
        "patience without end",
        "engine/patience.py",
        "if not passes or attempt + 1 >= self.attempts_max:",
        "if not passes:",
        (f"{_WORKER}test_patience_ends", f"{_WORKER}test_only_what_passes_is_waited_for[error0-True]"),
    ),
    Mutation(
        "waits that do not grow",
        "engine/patience.py",
        "FIRST_WAIT_S * 2.0**attempt",
        "FIRST_WAIT_S",
        (f"{_WORKER}test_only_what_passes_is_waited_for[error0-True]",),
    ),
    Mutation(
        "a defect ends without a word",
        "engine/worker.py",
        "            await self._executor.fail(run_id, epoch, Defect(error))",
        "            pass",
        (f"{_WORKER}test_a_defect_fails_its_run_and_the_worker_goes_on",),
    ),
    Mutation(
        "a stop while a worker starts is lost",
        "engine/worker.py",
        "            if self._stopping.is_set():  # asked while the queue was being opened\n",
        "            if False:\n",
        (f"{_WORKER}test_a_stop_that_comes_while_a_worker_starts_is_not_lost",),
    ),
)

QUOTA = (
    Mutation(
        "a quota's place is free with the answer",
        "store/quota.sql",
        "update quota_slots\nset free_at = clock_timestamp() + make_interval(secs => %(window_s)s)\nfrom unhurried",
        "update quota_slots\nset free_at = clock_timestamp()\nfrom unhurried",
        (f"{_QUOTA}test_no_more_places_than_the_limit_are_given[private]",),
    ),
    Mutation(
        "a place is leased for less than a request",
        "store/quota.sql",
        "free_at = gate.at + make_interval(secs => %(request_s)s + %(window_s)s)",
        "free_at = gate.at + make_interval(secs => %(window_s)s)",
        (f"{_QUOTA}test_the_place_of_a_killed_holder_comes_back_with_its_lease[private]",),
    ),
    Mutation(
        "seconds are not counted",
        "store/quota.sql",
        "    where gate.requests_per_second is null\n    or second.slot_no is not null\n",
        "",
        (
            f"{_QUOTA}test_a_second_holds_no_more_than_its_limit[private]",
            f"{_QUOTA}test_many_at_once_get_each_place_of_a_second_once[private]",
        ),
    ),
    Mutation(
        "who takes a place waits for locks",
        "store/quota.sql",
        "    for update of quota_slots skip locked\n",
        "    for update of quota_slots\n",
        (f"{_QUOTA}test_nothing_waits_inside_the_database[private]",),
    ),
    Mutation(
        "places are not locked",
        "store/quota.sql",
        "    for update of quota_slots skip locked\n",
        "",
        (f"{_QUOTA}test_many_at_once_get_each_place_once[private]",),
    ),
    Mutation(
        "a day's budget is not exact",
        "store/quota.sql",
        "    where quota_days.requests < coalesce((select day_budget from gate), 2147483647)\n",
        "",
        (f"{_QUOTA}test_the_budget_of_a_day_is_exact_over_all_who_ask[private]",),
    ),
    Mutation(
        "a refusal does not close the quota",
        "store/quota.sql",
        "            when closed_until > at then 'closed'\n",
        "",
        (f"{_QUOTA}test_after_a_refusal_one_probe_goes_and_its_success_opens[private]",),
    ),
    Mutation(
        "all probe at once",
        "store/quota.sql",
        "            when must_probe and probing_until > at then 'probing'\n",
        "",
        (f"{_QUOTA}test_after_a_refusal_one_probe_goes_and_its_success_opens[private]",),
    ),
    Mutation(
        "a bound on calls is none",
        "engine/chain.py",
        "if self._calls_max is not None and self.calls + self._reserved >= self._calls_max:",
        "if self._calls_max is not None and self.calls + self._reserved > self._calls_max:",
        ("tests/engine/test_backfill.py::test_max_calls_bounds_a_run_and_the_next_goes_on",),
    ),
)

HTTP = (
    Mutation(
        "redirects are followed",
        "providers/http.py",
        "follow_redirects=False",
        "follow_redirects=True",
        (f"{_HTTP}test_no_redirect_is_followed[302]", f"{_PAGE_FAULTS}test_h26_a_redirect_is_never_followed[302]"),
    ),
    Mutation(
        "a redirect is an answer",
        "providers/http.py",
        "                raise _redirect(response)",
        "                pass",
        (f"{_HTTP}test_no_redirect_is_followed[302]",),
    ),
    Mutation(
        "requests go anywhere",
        "providers/http.py",
        "if not any(origin.admits(url) for origin in self._origins):",
        "if False:",
        ("tests/providers/test_origins.py::test_a_foreign_url_is_not_sent",),
    ),
    Mutation(
        "proxies are taken from the environment",
        "providers/http.py",
        "trust_env=False",
        "trust_env=True",
        (f"{_HTTP}test_the_environment_is_ignored",),
    ),
    Mutation(
        "no limit on the whole request",
        "providers/http.py",
        "asyncio.timeout(self._timeouts.total_s)",
        "asyncio.timeout(None)",
        (f"{_HTTP}test_silence_and_cuts_are_timeouts[drip]",),
    ),
    Mutation(
        "attempts without end",
        "providers/client.py",
        "state.attempt_number >= attempts_of(error, self._attempts)",
        "state.attempt_number >= 50",
        (f"{_CLIENT}test_waits_between_attempts_double_with_full_jitter",),
    ),
    Mutation(
        "attempts without a pause",
        "providers/client.py",
        "wait_random_exponential(multiplier=self._backoff_s, max=BACKOFF_S_MAX)",
        "wait_random_exponential(multiplier=0, max=BACKOFF_S_MAX)",
        (f"{_CLIENT}test_waits_between_attempts_double_with_full_jitter",),
    ),
    Mutation(
        "an unproved key is tried by all at once",
        "providers/client.py",
        "if not self._is_proved:\n            async with",
        "if False:\n            async with",
        (f"{_CLIENT}test_a_rejected_key_costs_one_request_in_all",),
    ),
    Mutation(
        "tokens seen before are followed",
        "engine/chain.py",
        "page.next_token in run.tokens_seen or page.next_token == run.token or",
        "",
        (f"{_PAGE_FAULTS}test_h21_endless_tokens_are_stopped[ABAB-page_loop]",),
    ),
    Mutation(
        "tokens are not remembered",
        "engine/chain.py",
        "    run.tokens_seen.add(page.next_token)",
        "    pass",
        (f"{_PAGE_FAULTS}test_h21_endless_tokens_are_stopped[ABAB-page_loop]",),
    ),
    Mutation(
        "chains without a cap of pages",
        "engine/chain.py",
        " or run.page_no + 1 >= cap",
        "",
        (f"{_PAGE_FAULTS}test_h21_many_distinct_empty_pages_are_capped",),
    ),
    Mutation(
        "empty pages without end",
        "engine/chain.py",
        "if run.empty_pages > EMPTY_PAGES_MAX:",
        "if False:",
        (f"{_PAGE_FAULTS}test_h20_empty_pages_without_end_stop",),
    ),
    Mutation(
        "pages that do not move on",
        "core/proof.py",
        "    _check_progress(query, page, present, state)\n",
        "",
        (f"{_PROOF}test_a_page_that_does_not_move_on_stops_the_chain",),
    ),
)

PROOF = (
    Mutation(
        "S1: no run of absent bars is too long",
        "core/suspicion.py",
        "np.isnan(absent) | (log_chance <= log_min)",
        "np.isnan(absent)",
        (
            f"{_GAPS}test_run_is_suspicious_from_this_length_on[1.0-3]",
            f"{_SILENCE}test_a_hole_in_the_middle_is_judged_by_its_length[3-missing]",
        ),
    ),
    Mutation(
        "S1: what is unknown is believed",
        "core/suspicion.py",
        "np.isnan(absent) | (log_chance <= log_min)",
        "log_chance <= log_min",
        (f"{_GAPS}test_empty_answer_of_an_unknown_symbol_is_held",),
    ),
    Mutation(
        "S1: doubted silence is believed",
        "core/suspicion.py",
        "return suspicious | (is_in_doubt & (density >= DENSITY_OF_THE_LIQUID))",
        "return suspicious",
        (
            f"{_GAPS}test_doubted_silence_is_believed_up_to_this_length[1.0-0]",
            f"{_SILENCE}test_the_last_bar_of_an_answer_is_asked_for_again[on the same page]",
        ),
    ),
    Mutation(
        "S1: two hasty answers settle",
        "engine/run.py",
        "return self.first_seen_at <= now - SETTLED_AFTER",
        "return self.first_seen_at <= now",
        (f"{_DOUBT}test_a_bar_that_answers_lack_is_held_for_an_hour",),
    ),
    Mutation(
        "a full last page is believed",
        "core/proof.py",
        "if is_end and page.taken < page_size:",
        "if is_end:",
        (f"{_PROOF}test_a_full_page_without_a_token_is_not_the_end",),
    ),
    Mutation(
        "the open symbol is proved to its end",
        "core/proof.py",
        "_add(proved, last, start, min(until, query.range.end))",
        "_add(proved, last, start, query.range.end)",
        (f"{_PROOF}test_the_symbol_at_the_pages_end_is_proved_to_its_last_row",),
    ),
    Mutation(
        "the open symbol's tail is proved with its head",
        "core/proof.py",
        "state.open_symbol, state.open_until or query.range.start, query.range.end)\n    for symbol",
        "state.open_symbol, query.range.start, query.range.end)\n    for symbol",
        (f"{_PROOF}test_nothing_is_proved_twice[2]",),
    ),
    Mutation(
        "symbols seen before are absent",
        "core/proof.py",
        "seen=state.seen | set(present)",
        "seen=frozenset(present)",
        (f"{_PROOF}test_nothing_is_proved_twice[2]",),
    ),
    Mutation(
        "a page that goes back takes the chain along",
        "core/proof.py",
        "open_until=max(start, until)",
        "open_until=until",
        (f"{_PROOF}test_a_full_last_page_of_old_rows_takes_nothing_back",),
    ),
    Mutation(
        "unreadable rows are no rows",
        "core/proof.py",
        "    with_rows |= {row.symbol for row in page.rejected}\n",
        "",
        (f"{_PROOF}test_a_symbol_of_which_no_row_can_be_read_is_not_absent",),
    ),
    Mutation(
        "pages in any order of symbols",
        "core/proof.py",
        "    _check_order(query, present, state)\n",
        "",
        (f"{_DOUBT}test_pages_out_of_order_take_back_what_was_proved_unless_overtaken[False]",),
    ),
    Mutation(
        "what is not over is covered",
        "engine/desk.py",
        "        if end <= horizon:\n            return proof",
        "        if end <= horizon or True:\n            return proof",
        ("tests/engine/test_faults_now.py::test_silence_about_what_is_not_over_is_no_quiet_minute[paid]",),
    ),
    Mutation(
        "the open symbol's tail is no doubt",
        "engine/evidence.py",
        "is_last = proof.is_complete and (ticker == proof.state.open_symbol or ticker not in proof.state.seen)",
        "is_last = proof.is_complete and ticker not in proof.state.seen",
        (f"{_SILENCE}test_the_last_bar_of_an_answer_is_asked_for_again[on the same page]",),
    ),
    Mutation(
        "absent symbols are no doubt",
        "engine/evidence.py",
        "is_last = proof.is_complete and (ticker == proof.state.open_symbol or ticker not in proof.state.seen)",
        "is_last = proof.is_complete and ticker == proof.state.open_symbol",
        (f"{_DOUBT}test_a_bar_that_answers_lack_is_held_for_an_hour",),
    ),
    Mutation(
        "an answer's tail is never settled",
        "engine/evidence.py",
        "lossy | (edges - lasting)",
        "lossy | edges",
        (f"{_DOUBT}test_a_bar_that_answers_lack_is_held_for_an_hour",),
    ),
    Mutation(
        "the beginning of an answer is believed",
        "engine/evidence.py",
        "edges = tail | _head(proved, position, answered, blocked)",
        "edges = tail",
        (f"{_SILENCE}test_the_first_bar_of_an_answer_is_asked_for_again",),
    ),
    Mutation(
        "two cuts count as two answers that agree",
        "engine/evidence.py",
        "if one.has_lasted(now) and is_repeated(one, answered.of(position))",
        "if one.has_lasted(now)",
        ("tests/engine/test_cuts.py::test_two_cuts_an_hour_apart_are_not_two_answers_that_agree",),
    ),
    Mutation(
        "what a day counts is called quiet",
        "core/gaps.py",
        "    suspects |= was_traded\n",
        "",
        (f"{_SETTLING}test_a_hole_that_its_day_counts_is_no_quiet_one_and_no_halt[1]",),
    ),
    Mutation(
        "a bar among busy ones is called quiet",
        "core/gaps.py",
        "    suspects |= is_amid_trades\n",
        "",
        ("tests/engine/test_silence.py::test_a_hole_among_busy_bars_is_none_however_short",),
    ),
    Mutation(
        "a fault of the provider is taken for quiet",
        "core/gaps.py",
        "    suspects |= is_shared\n",
        "",
        (f"{_SETTLING}test_the_same_bar_absent_from_a_fifth_of_the_liquid_symbols_is_a_fault[2-missing]",),
    ),
    Mutation(
        "one answer settles a halt",
        "engine/settling.py",
        "next((one for one in holding if one.has_lasted(now)), None)",
        "next(holding, None)",
        (f"{_SETTLING}test_one_answer_more_settles_nothing_within_the_hour",),
    ),
    Mutation(
        "finer bars do not contradict a halt",
        "core/settlement.py",
        "    if what := _contradicted(found):\n",
        '    if what := "":\n',
        (f"{_SETTLING}test_finer_bars_in_it_contradict_a_halt",),
    ),
    Mutation(
        "an answer overrules what a person has said",
        "store/gaps.py",
        'if gap.settled_by == "person" and _holds(gap.range, record.range)',
        "if False",
        (f"{_SETTLING}test_a_person_settles_a_gap_and_takes_it_back",),
    ),
    Mutation(
        "the rest of a quiet stretch lacks every bar",
        "store/gaps.py",
        'if gap.kind == "no_trade" and expected is not None and stored is not None:',
        "if False:",
        ("tests/store/test_gaps.py::test_rest_of_a_quiet_stretch_is_counted_by_the_table[private]",),
    ),
    Mutation(
        "bars that are gone stay covered",
        "store/absent.py",
        "    retract_coverage(conn, series.timeframe, ranges)\n",
        "",
        (f"{_SETTLING}test_derived_bars_that_are_gone_are_made_anew",),
    ),
    Mutation(
        "what has lasted is doubted on a lossy page",
        "engine/evidence.py",
        "lossy = (lossy & proved) - lasting",
        "lossy = lossy & proved",
        (f"{_SILENCE}test_silence_that_has_lasted_is_believed_of_a_lossy_answer_too",),
    ),
    Mutation(
        "blocked rows do not end a tail",
        "engine/evidence.py",
        "(blocked.symbol, blocked.start)):\n        after = ",
        "):\n        after = ",
        (f"{_SILENCE}test_the_tail_begins_behind_a_row_that_was_kept_out",),
    ),
    Mutation(
        "a broken row counts as a bar for ever",
        "engine/evidence.py",
        "            if not known.has_lasted(now):\n                add(",
        "            if True:\n                add(",
        (f"{_SILENCE}test_silence_about_a_broken_row_is_believed_after_an_hour",),
    ),
    Mutation(
        "a broken row counts for nothing",
        "engine/evidence.py",
        "            if not known.has_lasted(now):\n                add(",
        "            if False:\n                add(",
        ("tests/engine/test_faults_data.py::test_d04_silence_about_a_bar_that_broke_a_rule_is_no_quiet_minute",),
    ),
    Mutation(
        "the last bar has newer rows",
        "engine/settling.py",
        "if is_whole and is_older.any() and not is_newer.any():",
        "if is_whole and is_older.any():",
        (f"{_SILENCE}test_a_hole_between_rows_shows_no_last_bar",),
    ),
    Mutation(
        "what a lossy answer lacks is the end",
        "engine/settling.py",
        "is_whole = not run.may_lack_rows",
        "is_whole = True",
        (f"{_HTTP_FAULTS}test_h12_an_empty_page_before_the_first_rows_shows_no_first_bar",),
    ),
)

FILES = (
    Mutation(
        "files prove as much of each symbol as of all",
        "providers/files/client.py",
        "        claims=claims,",
        "        claims=None,",
        (f"{_IMPORTING}test_each_symbol_is_proved_as_far_as_its_own_rows_reach",),
    ),
    Mutation(
        "pages of other files are taken",
        "providers/files/client.py",
        "if fingerprint != self._staged.fingerprint",
        "if False",
        (
            "tests/providers/test_files.py::test_a_page_of_other_files_is_refused",
            f"{_IMPORTING}test_other_files_are_read_anew[same range]",
        ),
    ),
    Mutation(
        "what a file lacks is asked of it again",
        "engine/settling.py",
        "if is_candidate and self._is_exhaustive:",
        "if False:",
        (f"{_IMPORTING}test_what_a_file_lacks_is_a_settled_gap",),
    ),
    Mutation(
        "bars of files are mixed into any series",
        "engine/importing.py",
        "if held in {None, (request.feed, request.basis)}:",
        "if True:",
        (f"{_IMPORTING}test_bars_of_another_feed_or_basis_are_refused",),
    ),
    Mutation(
        "a series of another feed travels in a batch",
        "engine/planning.py",
        "if (need.symbol_id, need.timeframe) in foreign:",
        "if False:",
        (f"{_IMPORTING}test_a_provider_of_the_same_feed_fills_what_a_file_lacks",),
    ),
    Mutation(
        "others wait for an interrupted import",
        "store/runs.py",
        "if run.is_alive or run.provider != FILES]",
        "]",
        (f"{_RUNS}test_nobody_waits_for_an_interrupted_import[private]",),
    ),
)

TENURES = (
    Mutation(
        "a ticker has no beginning",
        "core/tenures.py",
        "if former is not None:\n                self._taken_from",
        "if False:\n                self._taken_from",
        (
            f"{_TENURES}test_a_ticker_begins_where_another_series_gave_it_up[ids0]",
            f"{_TENURES}test_a_ticker_begins_where_another_series_gave_it_up[ids1]",
        ),
    ),
    Mutation(
        "bars of others are asked for again",
        "store/misplaced.py",
        "ranges = (theirs & stretch) - others if others else Ranges([stretch])",
        "ranges = Ranges([stretch])",
        (f"{_FOREIGN}test_no_foreign_day_lies_over_the_bars_of_others",),
    ),
    Mutation(
        "only what was removed is asked for again",
        "store/misplaced.py",
        "theirs = answered | moved",
        "theirs = moved",
        (f"{_FOREIGN}test_days_that_massive_had_nobody_under_are_asked_for_again",),
    ),
    Mutation(
        "a symbol's density is another company's",
        "store/misplaced.py",
        'conn.execute(SQL["forget_density"], named)',
        "pass",
        (f"{_FOREIGN}test_days_of_others_stay_covered_between_those_that_are_put_right",),
    ),
    Mutation(
        "verify asks under today's tickers",
        "engine/verify.py",
        "former = self.plan.former(one)",
        "former = ()",
        (f"{_FOREIGN}test_verify_asks_massive_under_the_ticker_of_each_time",),
    ),
    Mutation(
        "a withdrawn change moves nothing",
        "engine/corporate.py",
        "        matched = self._matched(conn, answered, offer, events) if events else []\n"
        "        with conn.transaction(), self._putting_right(conn, answered.kind):",
        "        matched = self._matched(conn, answered, offer, events) if events else []\n"
        "        with conn.transaction():",
        (f"{_FOREIGN}test_a_change_that_is_withdrawn_gives_back_what_it_took",),
    ),
    Mutation(
        "a ticker that was taken wrongly is kept",
        "engine/corporate.py",
        "unlisted = self._undone(conn, unlisted)",
        "pass",
        (
            f"{_FOREIGN}test_a_ticker_that_was_taken_by_a_withdrawn_change_is_given_back",
            f"{_FOREIGN}test_a_ticker_that_another_has_by_now_is_not_given_back",
        ),
    ),
)

CALENDARS = (
    Mutation(
        "outage: an answer that may lack rows explains it",
        "core/outages.py",
        "        if in_doubt.any():\n            continue\n",
        "",
        (f"{_OUTAGES}test_silence_that_is_doubted_is_not_explained",),
    ),
    Mutation(
        "outage: a bar that it only cuts is explained",
        "core/outages.py",
        "starts, ends = starts[is_whole], ends[is_whole]",
        "starts, ends = starts[is_whole | True], ends[is_whole | True]",
        (f"{_OUTAGES}test_only_bars_that_lie_in_the_halt_are_explained",),
    ),
    Mutation(
        "outage: it is doubted when it is read again",
        "engine/taking_up.py",
        'if known.kind == "unavailable" and any(',
        "if False and any(",
        ("tests/engine/test_venues.py::test_maintenance_stays_settled_when_it_is_read_again",),
    ),
    Mutation(
        "outage: coarser bars that it cuts are passed on as gaps",
        "engine/derive.py",
        "    outside = gap - known.all\n",
        "    outside = gap\n",
        (f"{_BOUNDS}test_minutes_of_a_halt_are_settled_at_once_and_nothing_is_asked_again",),
    ),
    Mutation(
        "calendar: gaps and coverage do not follow it",
        "engine/ledger.py",
        "follow_calendar(conn, calendar)",
        "symbol_store.sync_sessions(conn, calendar)",
        (
            f"{_BOUNDS}test_closure_that_is_told_after_its_day_takes_the_gaps_of_that_day_along",
            f"{_BOUNDS}test_session_that_was_taken_for_a_closed_day_is_asked_for",
        ),
    ),
    Mutation(
        "calendar: one that cannot be used stops all plans",
        "engine/ledger.py",
        "        except InvalidInput as error:\n",
        "        except SymbolNotFound as error:\n",
        ("tests/engine/test_providers.py::test_calendar_that_cannot_be_used_leaves_the_others_alone",),
    ),
    Mutation(
        "calendar: bars reach over a lunch break",
        "core/calendar.py",
        "        is_part = starts < ends\n",
        "        return TradingCalendar(name, known, labels, opens, closes, opens, closes, session, version)\n"
        "        is_part = starts < ends\n",
        ("tests/core/test_calendars.py::test_lunch_break_has_no_bar_and_the_afternoon_begins_anew",),
    ),
)

MUTATIONS = (*WRITING, *FENCE, *QUEUE, *QUOTA, *HTTP, *PROOF, *FILES, *TENURES, *CALENDARS)
