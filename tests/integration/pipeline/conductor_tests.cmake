add_library(mlt_flow_peers STATIC flow_peers.c)
target_include_directories(mlt_flow_peers PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(mlt_flow_peers PUBLIC mlt_test_server mlt_bus mlt_event
    PRIVATE meltica_warnings mlt_proto)

foreach(name conductor_service conductor_cache conductor_restart conductor_two conductor_load data_bus_service tiers)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c LIBS mlt_flow_peers mlt_bus mlt_proto
        LABELS integration TIMEOUT 120 DEPENDS meltica-conductor meltica-data-bus)
endforeach()
set_tests_properties(test_conductor_load PROPERTIES RUN_SERIAL ON)
# Books are valid two seconds after a kill, and the cache is back soon after JetStream.
mlt_held_to_time(test_conductor_restart test_conductor_cache)
set_tests_properties(test_conductor_restart test_conductor_cache PROPERTIES COST 20)
foreach(name standby standby_bus)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c standby_rig.c LIBS mlt_flow_peers mlt_bus LABELS integration
        TIMEOUT 300 DEPENDS meltica-conductor meltica-data-bus)
    mlt_held_to_time(test_${name})
    set_tests_properties(test_${name} PROPERTIES COST 40)
endforeach()
# JetStream away for half a minute: ctest -C long -R conductor_cache_long
get_test_property(test_conductor_cache ENVIRONMENT cache_environment)
add_test(NAME test_conductor_cache_long COMMAND test_conductor_cache CONFIGURATIONS long)
set_tests_properties(test_conductor_cache_long PROPERTIES LABELS "integration;long" TIMEOUT 240
    ENVIRONMENT "${cache_environment};MELTICA_TEST_AWAY_S=30")
set_property(TEST test_conductor_load APPEND PROPERTY LABELS heavy)
