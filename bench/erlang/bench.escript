#!/usr/bin/env escript
%% Erlang/OTP as a contestant: what a supervisor takes for a process of its own machine. Asked by lines on standard
%% input; answers each with nanoseconds, the median of many.
-mode(compile).
-export([init/1, start_child/1, child/1]).

init([]) ->
    Flags = #{strategy => simple_one_for_one, intensity => 1000000, period => 1},
    Child = #{id => child, start => {?MODULE, start_child, []}, restart => permanent, shutdown => brutal_kill},
    {ok, {Flags, [Child]}}.

start_child(Bench) ->
    {ok, spawn_link(?MODULE, child, [Bench])}.

child(Bench) ->
    Bench ! {entered, self(), now_()},
    receive stop -> ok end.

now_() -> erlang:monotonic_time(nanosecond).

main(_) ->
    %% Nobody's log is written here.
    ok = logger:set_primary_config(level, none),
    {ok, Supervisor} = supervisor:start_link(?MODULE, []),
    serve(Supervisor).

serve(Supervisor) ->
    case io:get_line("") of
        eof -> ok;
        "start\n" -> answer([start(Supervisor) || _ <- lists:seq(1, 300)]), serve(Supervisor);
        "crash\n" -> answer([crash(Supervisor) || _ <- lists:seq(1, 300)]), serve(Supervisor);
        "many\n" -> answer([many(Supervisor) || _ <- lists:seq(1, 20)]), serve(Supervisor)
    end.

answer(Samples) ->
    io:format("~b~n", [lists:nth((length(Samples) + 1) div 2, lists:sort(Samples))]).

entered() -> receive {entered, Pid, At} -> {Pid, At} end.

start(Supervisor) ->
    Asked = now_(),
    {ok, Pid} = supervisor:start_child(Supervisor, [self()]),
    {Pid, At} = entered(),
    ok = supervisor:terminate_child(Supervisor, Pid),
    At - Asked.

crash(Supervisor) ->
    {ok, Pid} = supervisor:start_child(Supervisor, [self()]),
    {Pid, _} = entered(),
    Killed = now_(),
    exit(Pid, kill),
    {Next, At} = entered(),
    ok = supervisor:terminate_child(Supervisor, Next),
    At - Killed.

many(Supervisor) ->
    Asked = now_(),
    Pids = [element(2, supervisor:start_child(Supervisor, [self()])) || _ <- lists:seq(1, 64)],
    Last = lists:max([element(2, entered()) || _ <- Pids]),
    [ok = supervisor:terminate_child(Supervisor, Pid) || Pid <- Pids],
    Last - Asked.
