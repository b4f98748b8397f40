-- wrk: POSTs a JSON body of exactly 512 bytes and prints one line of JSON. BENCH_PREFER is sent as Prefer;
-- BENCH_STATUS is the one status that counts as right;
-- with BENCH_KEYS the requests name so many keys in turn.
local head, tail = '{"id":"order-000001","data":"', '"}'
wrk.method = "POST"
wrk.body = head .. string.rep("x", 512 - #head - #tail) .. tail
wrk.headers["Content-Type"] = "application/json"
local prefer = os.getenv("BENCH_PREFER")
if prefer then wrk.headers["Prefer"] = prefer end
local keys = tonumber(os.getenv("BENCH_KEYS"))
if keys then
  local turn = 0
  request = function()
    turn = turn + 1
    wrk.headers["Forebay-Key"] = "key-" .. turn % keys
    return wrk.format()
  end
end
local expected = tonumber(os.getenv("BENCH_STATUS"))

-- Each thread has Lua of its own; the count is collected from them at the end.
local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

wrong = 0
wrong_status = 0
function response(status)
  if status ~= expected then
    wrong = wrong + 1
    wrong_status = status
  end
end

function done(summary, latency)
  local wrong_all, status = 0, 0
  for _, thread in ipairs(threads) do
    wrong_all = wrong_all + thread:get("wrong")
    status = math.max(status, thread:get("wrong_status"))
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"p50Ms":%.3f,"p90Ms":%.3f,"p99Ms":%.3f,"maxMs":%.3f,"wrong":%d,"wrongStatus":%d,"socketErrors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(90) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000, wrong_all, status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
