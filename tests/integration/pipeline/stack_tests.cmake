# Whole stacks of real processes.
add_library(mlt_test_stack STATIC ${CMAKE_SOURCE_DIR}/tests/support/mlt_stack.c
    ${CMAKE_SOURCE_DIR}/tests/support/mlt_stack_said.c
    ${CMAKE_SOURCE_DIR}/tests/support/mlt_consumer.c golden.c)
target_include_directories(mlt_test_stack PUBLIC ${CMAKE_SOURCE_DIR}/tests/support .)
target_link_libraries(mlt_test_stack PUBLIC mlt_tally mlt_bus mlt_event mlt_base
    PRIVATE meltica_warnings PkgConfig::CMOCKA)
# Consumers in processes of their own, which can be stopped.
add_library(mlt_test_subscriber STATIC ${CMAKE_SOURCE_DIR}/tests/support/mlt_subscriber.c)
target_link_libraries(mlt_test_subscriber PUBLIC mlt_chaos PRIVATE meltica_warnings)
foreach(name smoke books books_recorded late_join recordings kills recovery standby_stack standby_dispatcher neighbours_killed terminations nats_killed mutated steering authority trades listing users_change tiers_stack)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c LIBS mlt_test_stack LABELS integration TIMEOUT 600)
    set_tests_properties(test_${name} PROPERTIES PROCESSORS 3)
    add_dependencies(test_${name} meltica meltica-exchange-sim meltica-adapter meltica-dispatcher
        meltica-conductor meltica-data-bus meltica-control-bus)
endforeach()
mlt_held_to_time(test_recovery test_late_join test_standby_stack test_standby_dispatcher)
set_tests_properties(test_recovery test_late_join test_standby_stack PROPERTIES COST 20)
set_tests_properties(test_standby_dispatcher PROPERTIES COST 100)
# A quiet market, and twice half a minute until a refused right is asked for again.
set_tests_properties(test_users_change PROPERTIES PROCESSORS 1 COST 60)
target_link_libraries(test_steering PRIVATE PkgConfig::CJSON)
foreach(name steering_rebuilt steering_fuzzed steering_model steering_killed steering_store steering_books lanes)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c steer_rig.c steer_model.c steer_check.c
        LIBS mlt_test_stack mlt_proto PkgConfig::CJSON LABELS integration TIMEOUT 600)
    set_tests_properties(test_${name} PROPERTIES PROCESSORS 3)
    add_dependencies(test_${name} meltica meltica-exchange-sim meltica-adapter meltica-dispatcher
        meltica-conductor meltica-data-bus meltica-control-bus)
endforeach()

# Faults of what is around the services: a full store, a clock that is set, a Control Bus that ends, REST.
mlt_add_test(NAME test_store_full SOURCES test_store_full.c steer_rig.c ${CMAKE_SOURCE_DIR}/tests/support/mlt_disk.c
    LIBS mlt_test_stack mlt_proto PkgConfig::CJSON LABELS integration TIMEOUT 300)
mlt_add_test(NAME test_clock_steps SOURCES test_clock_steps.c steer_rig.c LIBS mlt_test_stack mlt_proto PkgConfig::CJSON
    LABELS integration TIMEOUT 300)
add_library(mlt_test_clock_step MODULE ${CMAKE_SOURCE_DIR}/tests/support/clock_step.c)
target_link_libraries(mlt_test_clock_step PRIVATE meltica_warnings ${CMAKE_DL_LIBS})
target_link_options(mlt_test_clock_step PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/tests/support/clock_step.map)
set_target_properties(mlt_test_clock_step PROPERTIES LINK_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/clock_step.map)
target_compile_options(mlt_test_clock_step PRIVATE -fno-sanitize=all) # called before a sanitizer has begun
target_compile_definitions(test_clock_steps PRIVATE CLOCK_STEP="$<TARGET_FILE:mlt_test_clock_step>")
add_dependencies(test_clock_steps mlt_test_clock_step)
mlt_add_test(NAME test_control_terminated SOURCES test_control_terminated.c steer_rig.c steer_model.c steer_check.c
    ../tools/command.c LIBS mlt_test_stack mlt_proto PkgConfig::CJSON LABELS integration TIMEOUT 300)
target_include_directories(test_control_terminated PRIVATE ../tools)
mlt_add_test(NAME test_rest_faults SOURCES test_rest_faults.c steer_rig.c storm_truth.c
    LIBS mlt_test_stack mlt_proto PkgConfig::CJSON LABELS integration TIMEOUT 300)
foreach(name store_full clock_steps control_terminated rest_faults)
    set_tests_properties(test_${name} PROPERTIES PROCESSORS 3 COST 30)
    add_dependencies(test_${name} meltica meltica-exchange-sim meltica-adapter meltica-dispatcher
        meltica-conductor meltica-data-bus meltica-control-bus)
endforeach()
mlt_add_case(NAME test_store_full_disk OF test_store_full ARGUMENT disk)

target_link_libraries(test_books PRIVATE mlt_book PkgConfig::CJSON)
target_link_libraries(test_books_recorded PRIVATE PkgConfig::CJSON)
target_link_libraries(test_smoke PRIVATE mlt_proto)
target_link_libraries(test_standby_stack PRIVATE mlt_flow_peers)
target_link_libraries(test_standby_dispatcher PRIVATE mlt_flow_peers)
target_link_libraries(test_late_join PRIVATE mlt_verify)
target_link_libraries(test_authority PRIVATE PkgConfig::CJSON)
target_link_libraries(test_trades PRIVATE PkgConfig::CJSON)
target_link_libraries(test_tiers_stack PRIVATE PkgConfig::CJSON)
mlt_add_test(NAME test_traces SOURCES test_traces.c LIBS mlt_test_stack mlt_test_collector LABELS integration
    TIMEOUT 600 DEPENDS meltica)
set_tests_properties(test_traces PROPERTIES PROCESSORS 3)
add_dependencies(test_traces meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor
    meltica-data-bus meltica-control-bus)
# The same with a collector of OpenTelemetry's between (./dev test collector builds it): ctest -C collector.
get_test_property(test_traces ENVIRONMENT environment)
add_test(NAME test_traces_collector COMMAND test_traces CONFIGURATIONS collector)
set_tests_properties(test_traces_collector PROPERTIES PROCESSORS 3 LABELS collector TIMEOUT 600
    ENVIRONMENT "${environment};MELTICA_OTEL_COLLECTOR=${CMAKE_SOURCE_DIR}/build/collector/otelcol")
# The same for long: ctest -C long -L long.
function(add_long name commands)
    get_test_property(${name} ENVIRONMENT environment)
    add_test(NAME ${name}_long COMMAND ${name} CONFIGURATIONS long)
    set_tests_properties(${name}_long PROPERTIES PROCESSORS 3 LABELS "integration;long" TIMEOUT 3600
        ENVIRONMENT "${environment};MELTICA_TEST_COMMANDS=${commands}")
endfunction()
add_long(test_steering_fuzzed 50000)
add_long(test_steering_model 2000)
add_long(test_steering_killed 2000)
get_test_property(test_books_recorded ENVIRONMENT environment)
add_test(NAME test_books_recorded_long COMMAND test_books_recorded CONFIGURATIONS long)
set_tests_properties(test_books_recorded_long PROPERTIES PROCESSORS 3 LABELS "integration;long" TIMEOUT 1200
    SKIP_RETURN_CODE 77 ENVIRONMENT "${environment};MELTICA_TEST_MARKET_SPEED=1")

# The storm; what it published is recorded for analytics_check.py.
mlt_add_test(NAME test_storm SOURCES test_storm.c storm_truth.c LIBS mlt_test_stack PkgConfig::CJSON LABELS integration
    TIMEOUT 240)
mlt_held_to_time(test_storm)
set_tests_properties(test_storm PROPERTIES COST 20 FIXTURES_SETUP storm_events)
set_property(TEST test_storm APPEND PROPERTY ENVIRONMENT "MELTICA_STORM_EVENTS=${CMAKE_BINARY_DIR}/storm_events.pb")
add_dependencies(test_storm meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor meltica-data-bus
    meltica-control-bus)
get_test_property(test_storm ENVIRONMENT storm_environment)
add_test(NAME test_storm_long COMMAND test_storm CONFIGURATIONS long)
set_tests_properties(test_storm_long PROPERTIES PROCESSORS 3 LABELS "integration;long" TIMEOUT 3600
    ENVIRONMENT "${storm_environment};MELTICA_TEST_STORM=long")
# Judged as tests/chaos judges. Three servers beside the whole stack: heavy, and one that is short of time may stay behind for minutes.
mlt_add_test(NAME test_nats_cluster SOURCES test_nats_cluster.c steer_rig.c ../tools/command.c LIBS mlt_chaos mlt_test_stack mlt_proto
    PkgConfig::CJSON LABELS integration heavy TIMEOUT 900)
target_include_directories(test_nats_cluster PRIVATE ../tools)
set_tests_properties(test_nats_cluster PROPERTIES PROCESSORS 6 COST 90)
add_dependencies(test_nats_cluster meltica meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor
    meltica-data-bus meltica-control-bus)
# Two Adapters, and one of them stands by. Judged as tests/chaos judges, and by a recording.
mlt_add_test(NAME test_hot_standby SOURCES test_hot_standby.c hot_rig.c hot_witness.c flow_judge.c
    LIBS mlt_sim_client mlt_chaos mlt_test_stack LABELS integration heavy
    TIMEOUT 300)
mlt_add_test(NAME test_hot_standby_recorded SOURCES test_hot_standby_recorded.c hot_rig.c LIBS mlt_test_stack PkgConfig::CJSON
    LABELS integration TIMEOUT 300)
foreach(name hot_standby hot_standby_recorded)
    mlt_held_to_time(test_${name})
    set_tests_properties(test_${name} PROPERTIES COST 90)
    add_dependencies(test_${name} meltica meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor
        meltica-data-bus meltica-control-bus)
endforeach()
# Consumers, or the NATS server, stop or are slow.
foreach(name slow_consumer nats_stopped)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c LIBS mlt_test_subscriber mlt_test_stack LABELS integration heavy TIMEOUT 600)
    set_tests_properties(test_${name} PROPERTIES PROCESSORS 3 COST 60)
    add_dependencies(test_${name} meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor meltica-data-bus
        meltica-control-bus)
endforeach()
# Two lines of one Adapter, judged in the same way.
mlt_add_test(NAME test_line_copies SOURCES test_line_copies.c hot_rig.c hot_witness.c flow_judge.c
    LIBS mlt_sim_client mlt_chaos mlt_test_stack LABELS integration heavy TIMEOUT 300)
set_tests_properties(test_line_copies PROPERTIES PROCESSORS 3 COST 90)
add_dependencies(test_line_copies meltica meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor
    meltica-data-bus meltica-control-bus)
# Minutes of weight: it waits for the exchange to grant more, and takes little meanwhile.
mlt_add_test(NAME test_weight SOURCES test_weight.c LIBS mlt_test_stack LABELS integration heavy TIMEOUT 600)
set_tests_properties(test_weight PROPERTIES PROCESSORS 1 COST 140)
add_dependencies(test_weight meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor meltica-data-bus
    meltica-control-bus)
# Seven days of 20 s with 500 instruments, three minutes by the clock: ctest -C long -R test_week.
mlt_add_test(NAME test_week SOURCES test_week.c LIBS mlt_test_stack PkgConfig::CJSON LABELS integration LONG TIMEOUT 900)
set_tests_properties(test_week PROPERTIES PROCESSORS 3)
add_dependencies(test_week meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor meltica-data-bus
    meltica-control-bus)
# Minutes under a sanitizer, and nothing that shorter ones do not show it; .ci/run leaves them out there.
foreach(name storm steering_killed steering_store steering_model books_recorded recordings)
    set_property(TEST test_${name} APPEND PROPERTY LABELS heavy)
endforeach()
# TLS, keys and JWTs; command.c runs single services beside the stack.
mlt_add_test(NAME test_credentials SOURCES test_credentials.c secrets.c ../tools/command.c
    LIBS mlt_test_stack mlt_test_nats_jwt nats_fixture LABELS integration TIMEOUT 300)
target_include_directories(test_credentials PRIVATE ../tools)
set_tests_properties(test_credentials PROPERTIES PROCESSORS 3)
add_dependencies(test_credentials meltica meltica-exchange-sim meltica-adapter meltica-dispatcher meltica-conductor
    meltica-data-bus meltica-control-bus)
mlt_add_test(NAME test_secrets SOURCES test_secrets.c secrets.c ../tools/command.c
    LIBS mlt_base mlt_test_nats_jwt nats_fixture LABELS integration TIMEOUT 180)
target_include_directories(test_secrets PRIVATE ../tools)
set_tests_properties(test_secrets PROPERTIES PROCESSORS 3)
add_dependencies(test_secrets meltica meltica-adapter meltica-dispatcher meltica-conductor meltica-data-bus
    meltica-control-bus meltica-console)
