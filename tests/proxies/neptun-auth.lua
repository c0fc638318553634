-- Asks neptun-auth about a request and leaves the answer in variables; haproxy.cfg decides.
-- HAProxy keeps the connections it asks over alive.

local replicas = {}
for address in os.getenv("NEPTUN_AUTH"):gmatch("%S+") do
    table.insert(replicas, "http://" .. address .. "/api/auth/check")
end
local asked = 0

-- The answer of one of them: if it does not say yes or no, since it restarts, the next one's.
local function check(headers)
    local answer
    for _ = 1, #replicas do
        asked = asked % #replicas + 1
        answer = core.httpclient():get({ url = replicas[asked], timeout = 2000, headers = headers })
        if answer.status == 204 or answer.status == 401 then
            break
        end
    end
    return answer
end

core.register_action("neptun-auth", { "http-req" }, function(txn)
    local headers = txn.http:req_get_headers()
    local answer = check({
        ["cookie"] = headers["cookie"],
        -- h3 reads a sealed session from here, before the cookie
        ["x-neptun-session-session"] = headers["x-neptun-session-session"],
        ["x-request-id"] = headers["x-request-id"],
    })
    local first = function(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0] or ""
    end
    txn:set_var("txn.auth_status", answer.status)
    txn:set_var("txn.auth_body", answer.body or "")
    txn:set_var("txn.auth_user", first("remote-user"))
    txn:set_var("txn.auth_session", first("remote-session"))
    txn:set_var("txn.auth_time", first("remote-auth-time"))
end, 0)
