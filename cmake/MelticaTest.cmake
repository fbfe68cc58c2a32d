# mlt_add_test(NAME test_x SOURCES x.c LIBS mlt_base LABELS unit [TIMEOUT s]): one cmocka executable.
# What a test takes of the machine is its PROCESSORS, as of four to nine on a machine of two (ctest -j4, -j9): most tests wait more than
# they compute. One process of ours: 1; a whole stack: 3; one that is held to a time: mlt_held_to_time, below. Fewer than that at
# once (-j2) runs it alone. Nothing has a fixed port or name, so nothing else keeps two tests apart.
# RUN_SERIAL is for what measures. COST is about the seconds of a test that is begun early: long ones, and those of 4, beside
# which the small ones fit.
#
# Each label is a target too, tests_<label>: all that tests with it need.
#
# Unit tests in which anything starts a thread have the label threads: what of them is worth running under ThreadSanitizer, where
# the others have nothing to tell.
set(MLT_THREADED adapter_pool adapter_weight allocation_setup bus_credentials bus_url control_policy_file control_quota control_workers
    data_bus_lane_flow dispatch_control dispatch_reconcile dispatch_resync http http_stub replicas rt_http_server rt_loop rt_metrics
    trace_export ws_life ws_line ws_tls)
list(TRANSFORM MLT_THREADED PREPEND test_)
pkg_check_modules(CMOCKA IMPORTED_TARGET GLOBAL cmocka>=1.1)
set(MELTICA_CAPTURES "${CMAKE_SOURCE_DIR}/../shared/captures" CACHE PATH
    "Folder with the recordings; tests that need one are skipped, and say so, where it is absent")
# mlt_label_needs(unit target...): tests with that label need these targets.
function(mlt_label_needs label)
    if(NOT TARGET tests_${label})
        add_custom_target(tests_${label})
    endif()
    add_dependencies(tests_${label} ${ARGN})
endfunction()
# ThreadSanitizer lets a process wait at its end for threads that race with it, by default a second: a stack has six of them.
set(MLT_TSAN_OPTIONS "suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:atexit_sleep_ms=100")
function(mlt_add_test)
    cmake_parse_arguments(T "LONG" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS;DEPENDS" ${ARGN})
    if(NOT T_TIMEOUT)
        set(T_TIMEOUT 120)
    endif()
    add_executable(${T_NAME} ${T_SOURCES})
    target_include_directories(${T_NAME} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
    target_link_libraries(${T_NAME} PRIVATE ${T_LIBS} meltica_warnings PkgConfig::CMOCKA
        Threads::Threads)
    if(T_DEPENDS)
        add_dependencies(${T_NAME} ${T_DEPENDS})
    endif()
    if(T_NAME IN_LIST MLT_THREADED)
        list(APPEND T_LABELS threads)
    endif()
    if(T_LONG) # of `ctest -C long -L long` alone
        list(APPEND T_LABELS long)
        add_test(NAME ${T_NAME} COMMAND ${T_NAME} CONFIGURATIONS long)
    else()
        add_test(NAME ${T_NAME} COMMAND ${T_NAME})
    endif()
    set_tests_properties(${T_NAME} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT}
        SKIP_RETURN_CODE 77
        ENVIRONMENT "MELTICA_CAPTURES=${MELTICA_CAPTURES};MELTICA_SOURCE_DIR=${CMAKE_SOURCE_DIR};MELTICA_BINARY_DIR=${CMAKE_BINARY_DIR};LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0;TSAN_OPTIONS=${MLT_TSAN_OPTIONS}")
    foreach(label IN LISTS T_LABELS)
        mlt_label_needs(${label} ${T_NAME})
    endforeach()
endfunction()
# mlt_held_to_time(test_x...): these judge within how long something happened. No two of them are at once.
function(mlt_held_to_time)
    set_tests_properties(${ARGN} PROPERTIES PROCESSORS 4 RESOURCE_LOCK held_to_time)
endfunction()
# mlt_add_case(NAME test_x_y OF test_x ARGUMENT y): what test_x does with that word, as a test that is skipped by itself, and counted so, where
# the machine does not allow it. All else is as of test_x, so behind what is set of that.
function(mlt_add_case)
    cmake_parse_arguments(C "" "NAME;OF;ARGUMENT" "" ${ARGN})
    add_test(NAME ${C_NAME} COMMAND ${C_OF} ${C_ARGUMENT})
    foreach(property LABELS TIMEOUT SKIP_RETURN_CODE ENVIRONMENT PROCESSORS RESOURCE_LOCK)
        get_test_property(${C_OF} ${property} value)
        if(NOT value STREQUAL "NOTFOUND" AND NOT value STREQUAL "value-NOTFOUND")
            set_tests_properties(${C_NAME} PROPERTIES ${property} "${value}")
        endif()
    endforeach()
endfunction()
