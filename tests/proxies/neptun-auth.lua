-- Asks neptun-auth about a request and leaves the answer in variables; haproxy.cfg decides.
-- HAProxy keeps the connections it asks over alive.

local check = "http://" .. os.getenv("NEPTUN_AUTH") .. "/api/auth/check"

core.register_action("neptun-auth", { "http-req" }, function(txn)
    local headers = txn.http:req_get_headers()
    local answer = core.httpclient():get({
        url = check,
        timeout = 2000,
        headers = {
            ["cookie"] = headers["cookie"],
            -- h3 reads a sealed session from here, before the cookie
            ["x-neptun-session-session"] = headers["x-neptun-session-session"],
            ["x-request-id"] = headers["x-request-id"],
        },
    })
    local first = function(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0] or ""
    end
    txn:set_var("txn.auth_status", answer.status)
    txn:set_var("txn.auth_body", answer.body or "")
    txn:set_var("txn.auth_user", first("remote-user"))
    txn:set_var("txn.auth_session", first("remote-session"))
end, 0)
