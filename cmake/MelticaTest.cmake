# mlt_add_test(NAME test_x SOURCES x.c LIBS mlt_base LABELS unit [TIMEOUT s]): one cmocka executable.
pkg_check_modules(CMOCKA IMPORTED_TARGET GLOBAL cmocka>=1.1)
set(MELTICA_CAPTURES "${CMAKE_SOURCE_DIR}/../shared/captures" CACHE PATH
    "Folder with the recordings; tests that need one are skipped, and say so, where it is absent")
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
    if(T_LONG) # of `ctest -C long -L long` alone
        list(APPEND T_LABELS long)
        add_test(NAME ${T_NAME} COMMAND ${T_NAME} CONFIGURATIONS long)
    else()
        add_test(NAME ${T_NAME} COMMAND ${T_NAME})
    endif()
    set_tests_properties(${T_NAME} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT}
        SKIP_RETURN_CODE 77
        ENVIRONMENT "MELTICA_CAPTURES=${MELTICA_CAPTURES};MELTICA_SOURCE_DIR=${CMAKE_SOURCE_DIR};MELTICA_BINARY_DIR=${CMAKE_BINARY_DIR};LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0;TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
endfunction()
