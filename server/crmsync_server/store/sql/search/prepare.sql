-- Plan each search for its own values, and do not compile it: both are meant for statements that run long
-- or often.
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', TRUE),
    set_config('jit', 'off', TRUE)
