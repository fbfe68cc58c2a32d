if(TARGET meltica-dispatcher AND TARGET meltica-control-bus AND TARGET mlt_test_server)
    foreach(name flow control instruments resync claim ring)
        mlt_add_test(NAME test_dispatcher_${name} SOURCES test_dispatcher_${name}.c dispatcher_rig.c
            LIBS mlt_test_server mlt_bus mlt_proto PkgConfig::CJSON LABELS integration TIMEOUT 120
            DEPENDS meltica-dispatcher meltica-control-bus)
        target_compile_definitions(test_dispatcher_${name} PRIVATE
            MELTICA_DISPATCHER="$<TARGET_FILE:meltica-dispatcher>"
            MELTICA_CONTROL_BUS="$<TARGET_FILE:meltica-control-bus>")
    endforeach()
    # Two that write: what another one does meanwhile is the test's.
    set(dispatcher ${PROJECT_SOURCE_DIR}/services/dispatcher)
    mlt_add_test(NAME test_dispatcher_log SOURCES test_dispatcher_log.c ${dispatcher}/control.c
        ${dispatcher}/control_log.c ${dispatcher}/applied.c ${dispatcher}/log_restore.c
        LIBS mlt_dispatcher mlt_test_server mlt_trace mlt_bus mlt_proto LABELS integration TIMEOUT 120)
endif()
