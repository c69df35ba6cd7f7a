"""Faults for the scripts: name -> a text that one of them has, and what stands there instead."""

RECORD = " if ARGV[at + 7] ~= '' then table.insert(records, ARGV[at + 1]) table.insert(records, ARGV[at + 7]) end"
TAKEN = "taken[id] or redis.call('EXISTS', job, 'arq:result:' .. id) > 0"
SET = "redis.call('SET', job, ARGV[i + 3])"
LIVE = " or redis.call('EXISTS', 'arq:job:' .. id) == 1"
KEPT = " or redis.call('PTTL', 'arq:result:' .. id) == -1"
PASSED_ON = " or redis.call('ZCARD', base) > redis.call('ZCARD', base .. ':active'))"
BEHIND = "for limit in each_limit(lane) do redis.call('ZREM', base .. ':behind:' .. limit, lane) end"
NAMED = "KEYS[2] or string.find(',' .. lane .. ',', ',' .. ARGV[1] .. ',', 1, true)"
LIMITS_SET = "redis.call('HGET', state, 'limits-set:' .. name)"
LIMITS_CONFIG = "redis.call('HGET', state, 'limits-config:' .. name)"
NO_ROOM = "    if noted >= limit.count then\n      return"
GIVEN_BACK = "for at, n in pairs(times) do redis.call('LREM', starts, -n, at) end"
UNBEGUN = "if move == 'P' or move == 'L' or (move == 'Q' and ARGV[at + 5] == '' and ARGV[at + 7] == '') then"
LEFT_OVER = "if room.left > 0 and room.limit.running then open_behind(queue.base, room.name, room.left) end"
RETURNED = "redis.call('HDEL', shard .. ':cancels', unpack(forgotten))"
TELLS = "if redis.call('LLEN', told) == 0 then redis.call('RPUSH', told, '1') end"

JOBS = {
    "finish takes any mark": ("if marks[i] ~= ARGV[at + 2] or", "if"),
    "finish takes two endings of a lease": (" or seen[marks[i]] then", " then"),
    "extend takes any mark": ("if marks[i] == ARGV", "if true or marks[i] == ARGV"),
    "extend takes a part of the leases for a beat": ("if ARGV[3] == '1' then", "if true then"),
    "progress takes any mark": ("redis.call('GET', 'arq:in-progress:' .. ARGV[1]) ~= ARGV[2]", "false"),
    "claim passes over an active lease": ("local held = tonumber(leases[i])", "local held = nil"),
    "claim passes over a pause": ("queue.left = queue.paused and 0 or", "queue.left ="),
    "claim leaves a retry among those that wait": ("redis.call('ZREM', base .. ':retry', unpack(retried))", ""),
    "claim does not remember its number": ("redis.call('HSET', identity, 'claim', number)", ""),
    "claim answers a number twice with new jobs": ("if tonumber(number) == last then", "if false then"),
    "claim takes a delayed copy for a call": ("or tonumber(number) < last then", "then"),
    "finish does not remember its batch": ("redis.call('HSET', identity, 'finish', batch, 'answers', answer)", ""),
    "finish carries a batch out twice": ("if tonumber(last[1]) == batch then return last[2] end", ""),
    "finish takes a delayed copy for a call": ("if batch < (tonumber(last[1]) or 0) then return '' end", ""),
    "finish forgets the side": ("redis.call('HDEL', base .. ':side', unpack(own.gone))", ""),
    "finish records what it refused": ("answers[i] = 's'", "answers[i] = 's'" + RECORD),
    "finish wakes nobody for a job that waits": ("own.waiting = true", ""),
    "enqueue writes before it knows whether the id is taken": (
        f"if {TAKEN} then",
        f"local was = {TAKEN} {SET} if was then",
    ),
    "enqueue tells nobody of a delayed job": ("or is_news(shard, base, soonest, now)", ""),
    "enqueue does not remember its number": ("'SET', sender, ARGV[2]", "'SET', sender, 0"),
    "enqueue stores the jobs of a number twice": ("if number == last then return answered end", ""),
    "enqueue takes a delayed copy for a call": ("if number < last then return '' end", ""),
    "recover puts a job behind the backlog": ("put_back(base, id, due or now,", "put_back(base, id, now,"),
    "recover counts a loss for a live worker": ("if not alive then", "if true then"),
    "recover allows a loss more": ("side.l >= how.max_losses", "side.l > how.max_losses"),
    "recover forgets the mark": ("    redis.call('DEL', key)\n    redis", "    redis"),
    "recover knows no amnesty": ("return now < ends", "return false"),
    "archive forgets the payload": ("  redis.call('DEL', 'arq:job:' .. id)\n", ""),
    "release forgets the parked": ("redis.call('ZREM', parked, unpack(ids))", ""),
    "release gives back what is not parked": ("if tonumber(scores[j] or 0) < -85e14 then", "if true then"),
    "rerun runs a job beside a live one of its id": (f"not payload{LIVE}", "not payload"),
    "rerun forgets that a later job of the id is kept": (KEPT, ""),
    "pause takes a paused queue for a running one": ("'HSETNX'", "'HSET'"),
    "claim leaves a due time to nobody": ("if head > now then keep_watch(shard, base, worker, text, head) end", ""),
    "claim keeps the watch of a full worker": ("      leave_watch(shard, base, worker, text)\n", ""),
    "claim trusts the watch of a dead worker": ("return beat and now - beat < lease_ms", "return true"),
    "claim passes no due time on": (PASSED_ON, ")"),
    "hand_on keeps a wake-up": ("if q - 1 == tonumber(ARGV[2]) or (watched", "if (watched"),
    "hand_on leaves a due time to nobody": (" or (watched and head_of(KEYS[q]))", ""),
    "rerun forgets the result": ("redis.call('DEL', dead, 'arq:result:' .. id)", "redis.call('DEL', dead)"),
    "finish keeps what its worker says": ("read_keep(keeps[q - 1], ARGV", "read_keep(nil, ARGV"),
    "trim keeps what its worker says": ("read_keep(said, ", "read_keep(nil, "),
    "trim keeps a completed job more": (
        "over_keep(completed, now, completed_keep,",
        "over_keep(completed, now, completed_keep + 1,",
    ),
    "trim forgets the results": ("  redis.call('DEL', unpack(results))\n", ""),
}

LIMITS = {
    "finish keeps what a lease held": ("let_go(shard, base, ends) end", "end"),
    "recover keeps what a lease held": ("let_go(how.shard, base, freed)", ""),
    "a lease that ends opens no lane": ("      open_behind(queue, limit, leases)\n", ""),
    "a lease that ends opens the lanes of one queue": ("ipairs(owner == base and {base} or ", "ipairs({base} or "),
    "concurrency allows one more": ("room = limit.running - running", "room = limit.running - running + 1"),
    "concurrency allows one less": ("room = limit.running - running", "room = limit.running - running - 1"),
    "concurrency of a queue counts nothing": ("redis.call('ZCARD', queue.base .. ':active') or 0", "0 or 0"),
    "a rate passes over a start at the edge of its window": ("if now <= at + window and", "if now < at + window and"),
    "a rate opens a millisecond early": ("+ limit.window + 1", "+ limit.window"),
    "a rate opens a millisecond late": ("+ limit.window + 1", "+ limit.window + 2"),
    "a rate allows one more": (NO_ROOM, NO_ROOM.replace(">=", ">")),
    "a rate never forgets": ("if over == 0 then break end", "if true then break end"),
    "a rate forgets starts that count": ("if now <= at + window and at <= now + window then break end", ""),
    "no start is noted under a limit of a lane": ("note_starts(room.limit, starts, room.taken, desk.now)", ""),
    "no start of a queue is noted": ("note_starts(queue.limit, queue.base .. ':starts', queue.taken, desk.now)", ""),
    "starts stay for ever": ("redis.call('PEXPIRE', starts, limit.window + 1000)", ""),
    "a start is not given back": (GIVEN_BACK, ""),
    "all starts of a millisecond are given back": (GIVEN_BACK, GIVEN_BACK.replace("-n", "0")),
    "the start of a job that has begun is given back": (UNBEGUN, "if move ~= 'C' then"),
    "a start that is given back opens no lane": (
        "if not next(full) then return was_full end",
        "if true then return was_full end",
    ),
    "a start that is given back opens its own lane only": (
        "then open_lane(base, lane) end\n  end\nend\n\n-- Returns",
        "then end\n  end\nend\n\n-- Returns",
    ),
    "a start that is given back wakes nobody": (
        "unbegun, looked) then own.opened = true end",
        "unbegun, looked) then end",
    ),
    "a lane that was served stays in front": ("again[#again + 2] = last, lane", "again[#again + 2] = -last, lane"),
    "a lane that was served has no turn": ("redis.call('ZADD', turns, unpack(again))", ""),
    "a lane without room keeps its turn": ("if least_room(queue.rooms[lane]) > 0 then", "if true then"),
    "a lane is closed for ever": ("redis.call('ZADD', line, 'NX', last_of(line) + 1, lane)", ""),
    "a lane is open and waits for a limit": (BEHIND + "\n  take_turn", "take_turn"),
    "a lane is served when one of its limits has room": ("math.min(least, room.left)", "rooms[1].left"),
    "a lane's room is not used up": ("room.left = room.left - #line / 2", "room.left = room.left"),
    "a lane that a job joins has no turn": ("    take_turn(base, lane)\n  end\nend\n\n-- Put", "  end\nend\n\n-- Put"),
    "room that was not taken is left to nobody": (LEFT_OVER, ""),
    "an emptied lane keeps its turn": (
        "local had_turn = redis.call('ZREM', base .. ':turns', lane) == 1",
        "local had_turn",
    ),
    "an emptied lane stays closed": ("  redis.call('ZREM', base .. ':closed', lane)\n  for", "  for"),
    "an emptied lane leaves its turn to nobody": ("if had_turn then open_behind(base, limit, 1) end", ""),
    "limit opens no lane": (f"if {NAMED} then open_lane(base, lane) end", ""),
    "limit opens the lanes of its own name only": (NAMED, "KEYS[2] or lane == ARGV[1]"),
    "limit wakes nobody": ("    end\n    wake(base)\n  end\nend\nreturn now", "    end\n  end\nend\nreturn now"),
    "configuration wins": (f"{LIMITS_SET} or {LIMITS_CONFIG}", f"{LIMITS_CONFIG} or {LIMITS_SET}"),
    "what is kept of a limit is taken away": ("then given[i] = old[i] end", "then given[i] = '' end"),
    "claim comes before its time": ("if queue.from and now < queue.from then", "if false then"),
    "claim comes after its time": ("if queue.closes and now >= queue.closes then", "if false then"),
    "claim takes more than it may": ("if queue.most then room = math.min(room, queue.most - queue.taken) end", ""),
    "finish tells nobody that a queue has room": ("own.opened = true", "own.opened = false"),
    "claim looks at a full queue at once": ("head = opens < NEVER and math.max(head, opens) or nil", "head = head"),
}

CANCELS = {
    "finish lets a cancelled job go on": ("elseif asked[i] and GOES_ON[ARGV[at + 3]] then", "elseif false then"),
    "finish ends no cancelled job": ("elseif asked[i] and GOES_ON[ARGV[at + 3]] then", "elseif asked[i] then"),
    "finish does not forget what was asked": (RETURNED, ""),
    "recover gives back what was to be cancelled": ("local cancelled = asked and", "local cancelled = false and"),
    "told takes any mark": ("if not asked or string.match(asked, '^%a+ (.*)$') ~= ARGV[2] then", "if not asked then"),
    "cancel tells no worker": (TELLS, ""),
    "cancel asks twice": ("if asked then return string.match(asked, '^%a+') end", ""),
    "cancel leaves a job in its lane": ("leave_lane(base, lane, id)  -- also", "-- also"),
    "cancel leaves a job among the retries": ("redis.call('ZREM', base .. ':retry', id)\n", ""),
    "cancel leaves a job among the parked": ("  redis.call('ZREM', parked, id)\n", ""),
    "cancel keeps the unique key": ("    unlock(how.shard, limits, id)\n    shut", "    shut"),
    "cancel leaves a job open": ("    shut(how.shard, limits, id)\n", ""),
    "cancel counts no attempt": ("side.n, side.p = (side.n or 0) + 1, nil", "side.n, side.p = (side.n or 0), nil"),
}

KEYS = {
    "finish keeps the unique key": ("if unique[held] and not GOES_ON[move] then", "if false then"),
    "finish ends the unique key of a job that goes on": (
        "if unique[held] and not GOES_ON[move] then",
        "if unique[held] then",
    ),
    "recover keeps the unique key": ("if gone then unlock(how.shard, limits, id) end", ""),
    "a job ends the unique key of another": (
        "if holder and string.match(holder, ' (.+)$') == id then",
        "if holder then",
    ),
    "a job shuts another": ("redis.call('HGET', shard .. ':open:' .. digest, 'id') == id then", "true then"),
    "claim leaves a job open": ("if limits ~= lane then shut(desk.shard, limits, id) end", ""),
    "debounce keeps the first call": ("redis.call('SET', 'arq:job:' .. open[2], job.payload)", ""),
    "debounce keeps the first time": ("move(open[1], open[2], due, before)", ""),
    "debounce leaves a job in its lane": ("if limits and lane_of(limits) then leave_lane", "if false then leave_lane"),
    "aggregate takes in more than its size": ("local fits = total <= most and", "local fits ="),
    "aggregate takes in more than its bytes": (
        "local fits = total <= most and length + #more <= bytes",
        "local fits = total <= most",
    ),
    "aggregate keeps a full job open": ("        due = now\n        redis.call('DEL', key)\n", "        due = now\n"),
    "aggregate lets a full job wait": (
        "        due = now\n        redis.call('DEL', key)\n",
        "        redis.call('DEL', key)\n",
    ),
    "aggregate forgets how many there are": ("if total < most then redis.call('HSET', key, 'items', total) end", ""),
    "aggregate passes over the longest delay": ("math.min(now + grace, tonumber(open[4]) + delay)", "now + grace"),
    "aggregate leaves a bracket behind": ("length - 3, more", "length - 2, more"),
    "aggregate delays what is due": ("if score > now then move", "if true then move"),
    "throttle lets a second call through": (
        "elseif holder and (kind == 't=' or",
        "elseif holder and (kind ~= 't=' and",
    ),
    "a unique key is not noted": ("if key then redis.call('SET', key, base .. ' ' .. job.id, 'PX', ms) end", ""),
    "rerun runs a job beside the holder of its key": (" == 1 then return 2 end", " == 2 then return 2 end"),
    "rerun does not take its key": ("  redis.call('SET', key, base .. ' ' .. id, 'PX', ms)\n", ""),
    "finish does not write down new limits": ("',\"l\":\"' .. data .. '\"' .. rest", "rest"),
}

MUTANTS = JOBS | LIMITS | CANCELS | KEYS

SELDOM = frozenset(
    {
        "a job ends the unique key of another",
        "a lane that was served stays in front",
        "a rate opens a millisecond late",
        "a rate passes over a start at the edge of its window",
        "a start that is given back opens its own lane only",
        "a start that is given back opens no lane",
        "a start that is given back wakes nobody",
        "aggregate passes over the longest delay",
        "an emptied lane leaves its turn to nobody",
        "cancel leaves a job among the retries",
        "claim passes over a pause",
        "claim takes a delayed copy for a call",
        "finish tells nobody that a queue has room",
        "limit opens the lanes of its own name only",
        "no start of a queue is noted",
        "pause takes a paused queue for a running one",
        "recover keeps the unique key",
        "release forgets the parked",
        "release gives back what is not parked",
        "room that was not taken is left to nobody",
        "trim keeps a completed job more",
        "what is kept of a limit is taken away",
    }
)
"""Seen only after a hundred examples or more, if at all: `make mutants` tries these too."""
