foreach(name pipeline lines_end requests life faults)
    mlt_add_test(NAME test_adapter_${name} SOURCES test_adapter_${name}.c adapter_rig.c
        LIBS mlt_test_http_stub mlt_bus mlt_event mlt_proto mlt_base LABELS integration TIMEOUT 300
        DEPENDS meltica-adapter meltica-exchange-sim)
endforeach()
