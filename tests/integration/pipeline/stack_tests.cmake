# Whole stacks of real processes; each uses both cores, so they run one at a time.
add_library(mlt_test_stack STATIC ${CMAKE_SOURCE_DIR}/tests/support/mlt_stack.c
    ${CMAKE_SOURCE_DIR}/tests/support/mlt_consumer.c golden.c)
target_include_directories(mlt_test_stack PUBLIC ${CMAKE_SOURCE_DIR}/tests/support .)
target_link_libraries(mlt_test_stack PUBLIC mlt_tally mlt_bus mlt_event mlt_base
    PRIVATE meltica_warnings PkgConfig::CMOCKA)
foreach(name smoke recordings kills neighbours_killed terminations nats_killed mutated steering)
    mlt_add_test(NAME test_${name} SOURCES test_${name}.c LIBS mlt_test_stack LABELS integration TIMEOUT 600)
    set_tests_properties(test_${name} PROPERTIES RUN_SERIAL ON)
    add_dependencies(test_${name} meltica meltica-exchange-sim meltica-adapter meltica-dispatcher
        meltica-conductor meltica-data-bus meltica-control-bus)
endforeach()
target_link_libraries(test_steering PRIVATE PkgConfig::CJSON)
